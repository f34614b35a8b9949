"""Geofence changes found in the log are stored; only then are their offsets settled.

An event may be read again, or by another worker as well: in Postgres the newest change wins, by the time
at which it happened, and storing one twice changes nothing.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Any

import structlog

from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.kernel.clock import Clock
from services.kernel.errors import Fault, StoreGoneError
from services.kernel.event import Event, Json
from services.kernel.geofence import CoordinateOrder, Geofence, GeofenceNews, GeofenceOrigin
from services.kernel.ids import GeofenceId, ProjectId, SubscriptionId, is_id
from services.kernel.ports.store.sources import GeofenceSource
from services.match import geofences
from services.observe import metrics

log = structlog.get_logger()

GEOFENCES = SubscriptionId("geofences")
"""Stands in the tracker for the table of geofences, like a subscription."""

ABOUT_GEOFENCES = "geofence."
DELETED = "geofence.deleted"
RETRY_SECONDS = 1.0
MAX_TEXT = 256


class Masters:
    """A queue of news, bounded by the partitions' windows: each entry is an open offset."""

    def __init__(
        self,
        *,
        store: GeofenceSource,
        partitions: OwnedPartitions,
        clock: Clock,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._clock = clock
        self._queue: deque[tuple[Owned, Event]] = deque()
        self._wake = Wake()

    def note(self, owned: Owned, event: Event) -> None:
        """Open the offset of an event about a geofence until Postgres has what it says."""
        if event.type.startswith(ABOUT_GEOFENCES):
            owned.open(event.position.offset, GEOFENCES, 0)
            self._queue.append((owned, event))
            self._wake.set()

    async def run(self) -> None:
        """Store what is noted, one after the other, until cancelled."""
        while True:
            await self._wake.wait()
            while self._queue:
                owned, event = self._queue[0]
                try:
                    if self._partitions.is_held(owned):
                        await self._take(event)
                except StoreGoneError as error:
                    log.warning("geofence_waits", position=str(event.position), error=str(error))
                    await self._clock.sleep(RETRY_SECONDS)
                    continue
                self._queue.popleft()
                owned.settle(event.position.offset, GEOFENCES, 0)

    async def _take(self, event: Event) -> None:
        data = event.body["data"]
        order = None
        if isinstance(data.get("coordinates"), list):
            order = await self._store.coordinate_order(ProjectId(event.project_id))
        # Whether a border of 2,000 positions crosses itself may take a second to say.
        news, faults = await asyncio.to_thread(news_of, event, order, now=self._clock.now())
        if news is None:
            metrics.GEOFENCES["refused"].inc()
            for fault in faults:
                log.warning(
                    "geofence_refused",
                    position=str(event.position),
                    project_id=event.project_id,
                    pointer=fault.pointer,
                    why=fault.message,
                )
            return
        taken = await self._store.take_geofence(news)
        metrics.GEOFENCES["taken" if taken else "known"].inc()


def news_of(
    event: Event, order: CoordinateOrder | None, *, now: datetime
) -> tuple[GeofenceNews | None, list[Fault]]:
    """Return what *event* says of a geofence, or why that can't be taken."""
    data = event.body["data"]
    deleted = event.type == DELETED or data.get("deleted") is True
    id_ = data.get("id")
    if not isinstance(id_, str) or not is_id(id_):
        return None, [Fault("type", "an id is 24 hex characters", "/data/id")]
    area, faults = _area(data, order)
    if faults and not deleted:
        return None, faults
    at = _happened(event)
    geofence = Geofence(
        id=GeofenceId(id_),
        project_id=ProjectId(event.project_id),
        label=_text(data, "label") or "",
        area=area,
        enabled=data.get("enabled") is not False,
        color=_text(data, "color"),
        external_id=_text(data, "external_id"),
        origin=GeofenceOrigin.PLANNER,
        changed_at=at,
        created_at=at,
        updated_at=now,
    )
    return GeofenceNews(geofence, deleted), []


def _area(data: Json, order: CoordinateOrder | None) -> tuple[Json, list[Fault]]:
    geometry = data.get("geometry")
    if geometry is not None:
        faults = geofences.geometry_faults(geometry, pointer="/data/geometry")
    else:
        pointer = "/data/coordinates"
        geometry, faults = geofences.corners(data.get("coordinates"), order=order, pointer=pointer)
    return ({}, faults) if faults else ({"geometry": geofences.plain(geometry)}, [])


def _happened(event: Event) -> datetime:
    """Return when the change came about; never after its record, or one clock gone wrong would win."""
    recorded = datetime.fromtimestamp(event.timestamp_ms / 1000, tz=UTC)
    try:
        at = datetime.fromisoformat(event.created_at)
        return min(at if at.tzinfo else at.replace(tzinfo=UTC), recorded)
    except (ValueError, OverflowError):
        return recorded


def _text(data: Json, field: str) -> str | None:
    value = data.get(field)
    return value if _is_text(value) else None


def _is_text(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value
