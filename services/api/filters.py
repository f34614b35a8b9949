"""`/v1/filters`: what is wrong with a filter, and what it would do."""

from services.api.call import Answer, Call
from services.api.problems import shown_fault
from services.control.dry_runs import DryRuns
from services.control.dry_runs import shown as shown_job
from services.control.filters import Explained, Filters
from services.control.matches import Answered, Matches
from services.kernel.clock import Clock
from services.kernel.dry_run import DryRun
from services.kernel.event import Json
from services.match.filters.explain import Explanation, Miss

DRY_RUNS = "/v1/filters/dry-runs"
ACCEPTED = 202


class FilterRoutes:
    """Filters that nobody has stored yet."""

    def __init__(self, filters: Filters, dry_runs: DryRuns, matches: Matches, clock: Clock) -> None:
        self._filters = filters
        self._dry_runs = dry_runs
        self._matches = matches
        self._clock = clock

    async def check(self, call: Call) -> Answer:
        """Return what is wrong or odd in a filter, and how it would be stored."""
        call.caller.require("read")
        judged, faults = await self._filters.check(call.caller, call.body)
        valid = judged is not None and not faults
        found = {
            "valid": valid,
            "errors": [shown_fault(fault) for fault in faults],
            "warnings": [shown_fault(odd) for odd in judged.warnings] if judged else [],
            "normal": judged.normal if judged and valid else None,
        }
        return Answer(200, found)

    async def explain(self, call: Call) -> Answer:
        """Return whether an event matches a filter and, if not, which clauses failed."""
        call.caller.require("read")
        judged, explained = await self._filters.explain(call.caller, call.body)
        warnings = [shown_fault(odd) for odd in judged.warnings]
        return Answer(200, {**shown(explained), "warnings": warnings})

    async def dry_run(self, call: Call) -> Answer:
        """Try a filter on the log since a given time, as a job that reports what would have been sent."""
        call.caller.require("read")
        job = await self._dry_runs.create(call.caller, call.body)
        return self._job(job, status=202)

    async def get_dry_run(self, call: Call) -> Answer:
        """Return a dry run, its progress and what it found."""
        call.caller.require("read")
        return self._job(await self._dry_runs.get(call.caller, call.path["id"]))

    async def cancel_dry_run(self, call: Call) -> Answer:
        """Cancel a dry run; doing it twice is fine."""
        call.caller.require("read")
        return self._job(await self._dry_runs.cancel(call.caller, call.path["id"]))

    async def matches(self, call: Call) -> Answer:
        """Return which subscriptions get an event of the log, and why each of the others doesn't."""
        call.caller.require("read")
        call.only()
        path = call.path
        event, answers = await self._matches.of(
            call.caller, path["topic"], path["partition"], path["offset"]
        )
        found = {
            "id": event.id,
            "type": event.type,
            "project_id": event.project_id,
            "data": [_answered(answer) for answer in answers],
        }
        return Answer(200, found)

    def _job(self, job: DryRun, *, status: int = 200) -> Answer:
        headers = {"Location": f"{DRY_RUNS}/{job.id}"} if status == ACCEPTED else {}
        return Answer(status, shown_job(job, now=self._clock.now()), headers)


def shown(explained: Explained) -> Json:
    """Return why an event matches or doesn't."""
    return {
        "match": explained.matched,
        "type_selected": explained.type_selected,
        "branches": _branches(explained.explanation),
    }


def _answered(answer: Answered) -> Json:
    registration = answer.registration
    return {
        "subscription_id": registration.id,
        "url": registration.url,
        "status": registration.status.value,
        "match": answer.reason is None,
        "type": answer.asked,
        "reason": answer.reason,
        "branches": _branches(answer.explanation) if answer.explanation else [],
    }


def _branches(explanation: Explanation) -> list[Json]:
    return [
        {"misses": [_missed(miss) for miss in branch.misses]} for branch in explanation.branches
    ]


def _missed(miss: Miss) -> Json:
    return {
        "pointer": miss.pointer,
        "path": miss.path,
        "wanted": miss.wanted,
        "actual": miss.actual,
        "note": miss.note,
        "metres": miss.metres,
    }
