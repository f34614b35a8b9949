"""Geofences in memory: loaded at start, notified of changes, re-read in full every minute."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.geofence import Geofence
from services.kernel.ids import ProjectId
from services.kernel.ports.store.sources import GeofenceSource
from services.match.fences import NO_FENCES, Fences

log = structlog.get_logger()


class Geofences:
    """Who has which geofences, as of at most a second ago; as of when Postgres went away, meanwhile.

    *on_change* is told, synchronously, the geofences of a project in which one changed.
    """

    def __init__(
        self,
        *,
        source: GeofenceSource,
        clock: Clock,
        reload_seconds: float,
        on_change: Callable[[ProjectId, Fences], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._reload_seconds = reload_seconds
        self._on_change = on_change
        self._reading = asyncio.Lock()  # what was read first is taken first
        self._known: dict[ProjectId, Sequence[Geofence]] = {}

    async def load(self) -> None:
        """Read all of them. Raises StoreGoneError."""
        async with self._reading:
            found = await self._source.load_geofences()
            await self._take({**dict.fromkeys(self._known, ()), **found})

    async def follow(self) -> None:
        """Take changes as they are notified, until cancelled."""
        async for projects in self._source.geofence_changes():
            try:
                if projects is None:
                    await self.load()
                else:
                    await self._read(projects)
            except StoreGoneError as error:  # the next connection begins with a full load
                log.warning("geofences_wait", error=str(error))

    async def reread(self) -> None:
        """Read all of them every minute, in case a notification was lost, until cancelled."""
        while True:
            await self._clock.sleep(self._reload_seconds)
            try:
                await self.load()
            except StoreGoneError as error:
                log.warning("geofences_wait", error=str(error))

    async def _read(self, projects: Collection[ProjectId]) -> None:
        async with self._reading:
            found = await self._source.load_geofences(projects)
            await self._take({**dict.fromkeys(projects, ()), **found})

    async def _take(self, found: Mapping[ProjectId, Sequence[Geofence]]) -> None:
        for project_id, geofences in found.items():
            if _versions(geofences) == _versions(self._known.get(project_id, ())):
                continue
            if geofences:
                self._known[project_id] = geofences
            else:
                self._known.pop(project_id, None)
            # A thousand of them take 50 ms: events go on meanwhile, by the fences before.
            fences = await asyncio.to_thread(Fences.of, geofences) if geofences else NO_FENCES
            self._on_change(project_id, fences)


def _versions(geofences: Sequence[Geofence]) -> set[tuple[str, int]]:
    return {(geofence.id, geofence.version) for geofence in geofences}
