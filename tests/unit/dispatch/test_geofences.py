"""A worker's filters go by a geofence as soon as word of its change comes: nothing waits for a clock."""

import asyncio

from services.dispatch.geofences import Geofences
from services.match.fences import Fences
from tests.support.eventually import eventually
from tests.support.fake_geofences import FakeGeofences, news
from tests.support.fake_store import FakeDatabase
from tests.support.rows import after
from tests.support.tasks import running
from tests.support.virtual_time import VirtualClock


class _Stopped(VirtualClock):
    """A clock on which no time passes."""

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - a clock's; they never pass
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
        await source.take_geofence(news())
        await eventually(lambda: len(took) == 1)
        await source.take_geofence(news(after(1), label="Moved"))
        await eventually(lambda: len(took) == 2)
        await source.take_geofence(news(after(2), label="Moved", deleted=True))
        await eventually(lambda: len(took) == 3)
