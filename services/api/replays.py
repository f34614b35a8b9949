"""`/v1/subscriptions/{id}/replays` and `/v1/replays`: part of the log once more."""

from services.api.call import Answer, Call
from services.control.replay_counts import Counted
from services.control.replays import Replays, shown
from services.kernel.clock import Clock, rfc3339
from services.kernel.event import Json
from services.kernel.replay import Replay

FILTERS = ("project_id", "subscription")


class ReplayRoutes:
    """What owners do with replays."""

    def __init__(self, replays: Replays, *, clock: Clock) -> None:
        self._replays = replays
        self._clock = clock

    async def create(self, call: Call) -> Answer:
        """Send part of the log once more, beside live traffic; `dry_run` only counts."""
        call.caller.require("manage")
        made = await self._replays.create(call.caller, call.path["id"], call.body)
        if isinstance(made, Counted):
            return Answer(200, _counted(made))
        return Answer(202, self._shown(made), {"Location": f"/v1/replays/{made.id}"})

    async def list(self, call: Call) -> Answer:
        """List replays, newest first."""
        call.caller.require("read")
        page = call.page(*FILTERS)
        rows = await self._replays.page(
            call.caller,
            project_id=call.query.get("project_id"),
            subscription_id=call.query.get("subscription"),
            page=page,
        )
        return call.listed(rows, page, self._shown, *FILTERS)

    async def get(self, call: Call) -> Answer:
        """Return one replay and its progress."""
        call.caller.require("read")
        return Answer(200, self._shown(await self._replays.get(call.caller, call.path["id"])))

    async def cancel(self, call: Call) -> Answer:
        """Cancel a replay; one that has ended is not changed."""
        call.caller.require("manage")
        return Answer(202, self._shown(await self._replays.cancel(call.caller, call.path["id"])))

    def _shown(self, replay: Replay) -> Json:
        return shown(replay, now=self._clock.now())


def _counted(counted: Counted) -> Json:
    return {
        "events": counted.events,
        "bytes": counted.bytes,
        "first_at": None if counted.first_at is None else rfc3339(counted.first_at),
        "last_at": None if counted.last_at is None else rfc3339(counted.last_at),
        "eta_seconds": counted.eta_seconds,
        "complete": counted.complete,
    }
