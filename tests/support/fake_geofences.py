"""Geofences as workers see them, without Postgres; `tests/contract` has one suite for both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from services.kernel.errors import StoreGoneError
from services.kernel.geofence import CoordinateOrder, Geofence, GeofenceNews, GeofenceOrigin
from services.kernel.ids import GeofenceId, ProjectId
from tests.support.fake_store import FakeDatabase
from tests.support.rows import NOW, PROJECT
from tests.support.server import GoneError

T = TypeVar("T")

ID = GeofenceId("5e208446c97efa37d4830b09")
SQUARE = {
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[2.09, 41.35], [2.23, 41.35], [2.23, 41.45], [2.09, 41.35]]],
    }
}


class FakeGeofences:
    """The `GeofenceSource`: a client, and what is stored."""

    def __init__(self, database: FakeDatabase, *, seconds: float = 5.0) -> None:
        self._database = database
        self._seconds = seconds
        self._rows: dict[tuple[ProjectId, GeofenceId], GeofenceNews] = {}
        self._changed: set[ProjectId] = set()
        self._bell = asyncio.Event()
        self.orders: dict[ProjectId, CoordinateOrder] = {}

    async def load_geofences(
        self, projects: Collection[ProjectId] | None = None
    ) -> Mapping[ProjectId, Sequence[Geofence]]:
        """Return those of *projects* (None: of all), by project."""
        rows = await self._ask(lambda: sorted(self._rows.items()))
        found: dict[ProjectId, list[Geofence]] = {}
        for (project_id, _), row in rows:
            if not row.deleted and (projects is None or project_id in projects):
                found.setdefault(project_id, []).append(row.geofence)
        return found

    async def geofence_changes(self) -> AsyncIterator[Collection[ProjectId] | None]:
        """Yield projects whose geofences change; None at the start."""
        yield None
        while True:
            await self._bell.wait()
            self._bell.clear()
            changed, self._changed = self._changed, set()
            yield changed

    async def take_geofence(self, news: GeofenceNews) -> bool:
        """Store what an event says, unless what is stored is newer; tell whether that changed it."""
        return await self._ask(lambda: self._take(news))

    async def coordinate_order(self, project_id: ProjectId) -> CoordinateOrder | None:
        """Return which number comes first in a bare pair of the project."""
        return await self._ask(lambda: self.orders.get(project_id))

    def _take(self, news: GeofenceNews) -> bool:
        geofence = news.geofence
        key = (geofence.project_id, geofence.id)
        before = self._rows.get(key)
        if before is not None:
            if before.geofence.changed_at > geofence.changed_at:
                return False
            known = _said(before) == _said(news)
            version = before.geofence.version + (not known)
            created = before.geofence.created_at
            geofence = replace(geofence, version=version, created_at=created)
            self._rows[key] = GeofenceNews(geofence, news.deleted)
            if known:
                return False
        else:
            self._rows[key] = news
        self._changed.add(geofence.project_id)
        self._bell.set()
        return True

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._database.ask(effect, seconds=self._seconds)
        except GoneError as error:
            raise StoreGoneError(str(error)) from error


def _said(news: GeofenceNews) -> tuple[object, ...]:
    row = news.geofence
    return row.label, row.color, row.external_id, row.enabled, row.area, news.deleted


def news(at: datetime = NOW, *, deleted: bool = False, **fields: object) -> GeofenceNews:
    """Return what an event of the planner says of a geofence."""
    geofence = Geofence(
        **{
            "id": ID,
            "project_id": PROJECT,
            "label": "Low emission zone",
            "area": SQUARE,
            "origin": GeofenceOrigin.PLANNER,
            "changed_at": at,
            "created_at": at,
            "updated_at": at,
            **fields,
        }
    )
    return GeofenceNews(geofence, deleted)
