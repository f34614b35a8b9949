"""`/v1/dead-letters` and `/v1/resends`: what was given up, and sending deliveries again."""

from services.api.call import QUERY, Answer, Call
from services.control.dead_letters import FIELDS, DeadLetters, filter_of_query
from services.control.resends import Resends, shown
from services.kernel.clock import rfc3339
from services.kernel.dead_letter import Among, Cause, DeadLetter, Resend
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.ids import delivery_id

CAUSE = "cause"
PROJECT = "project_id"


class AgainRoutes:
    """Dead letters, and jobs that send them again."""

    def __init__(self, letters: DeadLetters, resends: Resends) -> None:
        self._letters = letters
        self._resends = resends

    async def list_dead(self, call: Call) -> Answer:
        """List deliveries that were given up, newest first; or their causes, the most frequent first."""
        call.caller.require("read")
        asked, faults = filter_of_query(call.query)
        if "group_by" in call.query:
            if call.query["group_by"] != CAUSE:
                message = f"dead letters are grouped by {CAUSE!r}"
                faults.append(Fault("choice", message, parameter="group_by"))
            call.only("group_by", *FIELDS)
            if faults:
                raise FaultsError(QUERY, faults)
            causes = await self._letters.causes(call.caller, asked)
            return Answer(200, {"data": [_cause(cause) for cause in causes], "next": None})
        page = call.page(*FIELDS, noted=faults)
        rows = await self._letters.page(call.caller, asked, page)
        return call.listed(rows, page, _letter, *FIELDS)

    async def resend_dead(self, call: Call) -> Answer:
        """Resend what was given up, by filter, as a job."""
        return await self.resend(call)

    async def discard(self, call: Call) -> Answer:
        """Discard what was given up, by filter, with a reason."""
        call.caller.require("manage")
        count = await self._letters.discard(call.caller, call.body)
        return Answer(200, {"discarded": count})

    async def resend_one(self, call: Call) -> Answer:
        """Resend one delivery, to its own or to another webhook, as a job of one."""
        call.caller.require("manage")
        return _job(await self._resends.one(call.caller, call.path["id"], call.body), status=202)

    async def resend(self, call: Call) -> Answer:
        """Resend many deliveries, by filter, as a job; `dry_run` only counts them."""
        call.caller.require("manage")
        made = await self._resends.create(call.caller, call.body)
        if isinstance(made, Among):
            return Answer(200, {"deliveries": made.count, "bytes": made.bytes})
        return _job(made, status=202)

    async def list(self, call: Call) -> Answer:
        """List jobs, newest first."""
        call.caller.require("read")
        page = call.page(PROJECT)
        project_id = call.query.get(PROJECT)
        rows = await self._resends.page(call.caller, page, project_id=project_id)
        return call.listed(rows, page, shown, PROJECT)

    async def get(self, call: Call) -> Answer:
        """Return one job and its progress."""
        call.caller.require("read")
        return _job(await self._resends.get(call.caller, call.path["id"]))

    async def cancel(self, call: Call) -> Answer:
        """Cancel a job; doing it twice is fine."""
        call.caller.require("manage")
        return _job(await self._resends.cancel(call.caller, call.path["id"]))


def _job(job: Resend, *, status: int = 200) -> Answer:
    location = {"Location": f"/v1/resends/{job.id}"} if status != 200 else {}  # noqa: PLR2004
    return Answer(status, shown(job), location)


def _letter(letter: DeadLetter) -> Json:
    partition, offset = letter.position
    return {
        "id": letter.id,
        "delivery_id": delivery_id(letter.event_id, letter.subscription_id),
        "event_id": letter.event_id,
        "subscription_id": letter.subscription_id,
        "project_id": letter.project_id,
        "type": letter.type,
        "topic": partition.topic,
        "partition": partition.number,
        "offset": offset,
        "key": letter.key,
        "attempts": letter.attempts,
        "reason": letter.reason,
        "outcome": letter.outcome,
        "status": letter.status,
        "error": letter.error,
        "response": {"excerpt": letter.response.decode("utf-8", "replace")},
        "bytes": letter.size,
        "dead_at": rfc3339(letter.dead_at),
    }


def _cause(cause: Cause) -> Json:
    return {
        "subscription_id": cause.subscription_id,
        "outcome": cause.outcome,
        "status": cause.status,
        "count": cause.count,
        "oldest_at": rfc3339(cause.oldest_at),
        "sample": cause.sample,
        "delivery_id": delivery_id(cause.event_id, cause.subscription_id),
        "error": cause.error,
        "response": {"excerpt": cause.response.decode("utf-8", "replace")},
    }
