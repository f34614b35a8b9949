"""How much there is of each event type in a project: what a webhook that chooses it will get."""

from collections.abc import Mapping
from datetime import timedelta

from services.control.access import Caller
from services.kernel.clock import Clock
from services.kernel.event import Json
from services.kernel.ids import ProjectId
from services.kernel.ports.store.counts import MatchCountStore, Seen

DAY = timedelta(days=1)
NONE = Seen(0, 0, 0)


class Volumes:
    """Counts of the workers, in slots of five minutes."""

    def __init__(self, *, store: MatchCountStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def of(self, caller: Caller, project_id: str | None) -> Mapping[str, Seen] | None:
        """Return what came in the last day, by type; None: of no project, or of another's."""
        if caller.project_id is not None and project_id not in (None, caller.project_id):
            return None
        if caller.webhooks is not None:
            return None  # how much of all a project has is told to its own people
        asked = caller.project_id or project_id
        if asked is None:
            return None
        since = self._clock.now() - DAY
        return await self._store.volumes(ProjectId(asked), since=since)


def shown(volumes: Mapping[str, Seen] | None, type_: str) -> Json | None:
    """Return the volume of a type as the API shows it."""
    if volumes is None:
        return None
    seen = volumes.get(type_, NONE)
    return {"last_day": seen.events, "peak_per_second": seen.peak, "bytes": seen.bytes}
