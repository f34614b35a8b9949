"""What workers rely on in the table of geofences; the fake of the simulation is held to the same."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.kernel.clock import SystemClock
from services.kernel.geofence import GeofenceNews
from services.kernel.ids import ProjectId
from services.kernel.ports.store.sources import GeofenceSource
from services.store.geofences import PostgresGeofenceSource
from tests.support.eventually import eventually
from tests.support.fake_geofences import ID, FakeGeofences, news
from tests.support.fake_store import FakeDatabase
from tests.support.rows import NOW, PROJECT, a_pool, a_project, after
from tests.support.tasks import running

OTHER = ProjectId("5e208446c97efa37d4830b02")


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[GeofenceSource]:
    clock = SystemClock()
    if dsn is None:
        yield FakeGeofences(FakeDatabase(clock=clock))
        return
    async with a_pool(dsn) as pool:
        await a_project(pool)
        await a_project(pool, OTHER)
        yield PostgresGeofenceSource(pool=pool, clock=clock)


async def test_what_an_event_says_is_found_by_project(store: GeofenceSource) -> None:
    here, there = news(), news(project_id=OTHER, color="#3366ff", enabled=False)
    assert await store.take_geofence(here)
    assert await store.take_geofence(there)
    assert await store.load_geofences() == {PROJECT: [here.geofence], OTHER: [there.geofence]}
    assert await store.load_geofences([OTHER]) == {OTHER: [there.geofence]}


async def test_the_newest_wins_in_whatever_order_events_are_read(store: GeofenceSource) -> None:
    newer = news(after(2), label="newer")
    await store.take_geofence(newer)
    assert not await store.take_geofence(news(after(1), label="older"))
    assert await store.load_geofences() == {PROJECT: [newer.geofence]}


async def test_the_same_said_twice_changes_nothing(store: GeofenceSource) -> None:
    await store.take_geofence(news())
    assert not await store.take_geofence(news())
    assert not await store.take_geofence(news(after(2)))
    (found,) = (await store.load_geofences())[PROJECT]
    assert found.version == 1
    # It was said again later: what was said in between is older.
    assert not await store.take_geofence(news(after(1), label="in between"))


async def test_a_change_makes_a_new_version_and_keeps_when_it_was_made(
    store: GeofenceSource,
) -> None:
    await store.take_geofence(news())
    assert await store.take_geofence(news(after(1), enabled=False))
    (found,) = (await store.load_geofences())[PROJECT]
    assert (found.enabled, found.version, found.created_at) == (False, 2, NOW)


async def test_an_older_event_brings_no_deleted_geofence_back_but_a_newer_one_does(
    store: GeofenceSource,
) -> None:
    await store.take_geofence(news())
    assert await store.take_geofence(news(after(2), deleted=True))
    assert await store.load_geofences() == {}
    assert not await store.take_geofence(news(after(1), label="older"))
    assert await store.load_geofences() == {}
    assert await store.take_geofence(news(after(3)))
    assert [row.id for row in (await store.load_geofences())[PROJECT]] == [ID]


async def test_a_change_is_told(store: GeofenceSource) -> None:
    heard: list[object] = []

    async def listen() -> None:
        async for projects in store.geofence_changes():
            found = None if projects is None else set(projects)
            heard.append(found)

    async with running(listen()):
        await eventually(lambda: heard == [None])
        await store.take_geofence(news())
        await eventually(lambda: heard == [None, {PROJECT}], within=10)
        await store.take_geofence(replace_label(news(after(1)), "renamed"))
        await eventually(lambda: heard[2:] == [{PROJECT}], within=10)


async def test_without_a_setting_nobody_says_which_number_comes_first(
    store: GeofenceSource,
) -> None:
    assert await store.coordinate_order(PROJECT) is None


def replace_label(told: GeofenceNews, label: str) -> GeofenceNews:
    return told._replace(geofence=replace(told.geofence, label=label))
