"""`/v1/subscriptions/{id}/backlog`: how far behind a subscription is, and why."""

from services.api.call import Answer, Call
from services.control.backlog import Backlog, Backlogs
from services.kernel.clock import rfc3339
from services.kernel.event import Json


class BacklogRoutes:
    """What waits."""

    def __init__(self, backlogs: Backlogs) -> None:
        self._backlogs = backlogs

    async def get(self, call: Call) -> Answer:
        """Return how far behind a subscription is on each partition, why, and for how much longer."""
        call.caller.require("read")
        return Answer(200, shown(await self._backlogs.get(call.caller, call.path["id"])))


def shown(backlog: Backlog) -> Json:
    """Return it as people see it."""
    return {
        "state": backlog.state,
        "reason": backlog.reason,
        "since": None if backlog.since is None else rfc3339(backlog.since),
        "lag": backlog.lag,
        "oldest_at": None if backlog.oldest_at is None else rfc3339(backlog.oldest_at),
        "eta_seconds": backlog.eta_seconds,
        "headroom_seconds": backlog.headroom_seconds,
        "retries": backlog.retries,
        "held_keys": list(backlog.held_keys),
        "partitions": [
            {
                "topic": part.partition.topic,
                "partition": part.partition.number,
                "cursor": part.cursor,
                "end": part.end,
                "lag": part.lag,
                "state": part.state,
            }
            for part in backlog.parts
        ],
    }
