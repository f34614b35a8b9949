"""A worker's filters go by a geofence as soon as word of its change comes: nothing waits for a clock."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from services.dispatch.geofences import Geofences
from services.kernel.geofence import Geofence, GeofenceNews, GeofenceOrigin
from services.kernel.ids import GeofenceId, ProjectId
from services.match.fences import Fences
from tests.support.eventually import eventually
from tests.support.fake_geofences import FakeGeofences
from tests.support.fake_store import FakeDatabase
from tests.support.tasks import running
from tests.support.virtual_time import EPOCH, VirtualClock

ID = GeofenceId("5e208446c97efa37d4830b09")
PROJECT = ProjectId("5e208446c97efa37d4830b01")
SQUARE = {
    "geometry": {
        "type": "Polygon",
        "coordinates": [[[2.09, 41.35], [2.23, 41.35], [2.23, 41.45], [2.09, 41.35]]],
    }
}
FENCE = Geofence(
    id=ID,
    project_id=PROJECT,
    label="Low emission zone",
    area=SQUARE,
    origin=GeofenceOrigin.PLANNER,
    changed_at=EPOCH,
    created_at=EPOCH,
    updated_at=EPOCH,
)


class _Stopped(VirtualClock):
    """A clock on which no time passes."""

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - however few
        await asyncio.Event().wait()


async def test_a_change_holds_without_waiting() -> None:
    took: list[Fences] = []
    source = FakeGeofences(FakeDatabase(clock=VirtualClock()))
    geofences = Geofences(
        source=source,
        clock=_Stopped(),
        reload_seconds=60.0,
        on_change=lambda _, fences: took.append(fences),
    )
    async with running(geofences.follow()), running(geofences.reread()):
        await source.take_geofence(GeofenceNews(FENCE, deleted=False))
        await eventually(lambda: len(took) == 1)
        moved = replace(FENCE, label="Moved", changed_at=EPOCH + timedelta(seconds=1))
        await source.take_geofence(GeofenceNews(moved, deleted=False))
        await eventually(lambda: len(took) == 2)
        gone = replace(moved, changed_at=EPOCH + timedelta(seconds=2))
        await source.take_geofence(GeofenceNews(gone, deleted=True))
        await eventually(lambda: len(took) == 3)
