"""What changes in Postgres and is told of is kept in the same transaction, whoever changes it."""

from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest

from services.kernel.clock import SystemClock, rfc3339
from services.kernel.dead_letter import DeadFilter, JobState, Resend
from services.kernel.geofence import Geofence, GeofenceNews, GeofenceOrigin
from services.kernel.ids import GeofenceId
from services.kernel.operation import Kept
from services.store.geofences import PostgresGeofenceSource
from services.store.operations import PostgresOperations
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from services.store.resends import PostgresResends
from tests.support.rows import (
    NOW,
    PROJECT,
    a_cipher,
    a_pool,
    a_project,
    a_secret,
    a_subscription,
    after,
    an_id,
)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        await a_project(pool)
        yield pool


async def kept(pool: Pool) -> list[Kept]:
    return list(await PostgresOperations(pool=pool).waiting(limit=100))


async def test_a_rotation_is_told_with_the_end_of_the_secret_before(pool: Pool) -> None:
    id_ = await a_subscription(pool)
    ends = NOW + timedelta(hours=24)
    store = PostgresRegistrations(pool=pool, cipher=a_cipher())
    await store.rotate(id_, a_secret(), previous_expires_at=ends)
    (told,) = [each.operation for each in await kept(pool)]
    assert (told.type, told.project_id, told.subscription_id) == (
        "webhook.secret_rotated",
        PROJECT,
        id_,
    )
    assert told.data == {"previous_expires_at": rfc3339(ends)}


async def test_what_is_undone_is_not_told(pool: Pool) -> None:
    id_ = await a_subscription(pool)
    store = PostgresRegistrations(pool=pool, cipher=a_cipher())

    async def in_vain() -> None:
        async with pool.together():
            await store.rotate(id_, a_secret(), previous_expires_at=NOW)
            raise RuntimeError("in vain")

    with pytest.raises(RuntimeError, match="in vain"):
        await in_vain()
    assert await kept(pool) == []


async def test_whose_filter_names_a_geofence_is_told_of_when_its_owner_deletes_it(
    pool: Pool,
) -> None:
    area = GeofenceId(an_id())
    inside = {"geo-within": {"geofence": [area]}}
    named = await a_subscription(pool, filter=orjson.dumps({"data.position": inside}).decode())
    await a_subscription(pool)
    source = PostgresGeofenceSource(pool=pool, clock=SystemClock())

    def news(seconds: int, *, deleted: bool) -> GeofenceNews:
        at = after(seconds)
        geofence = Geofence(
            id=area,
            project_id=PROJECT,
            label="Depot",
            area={},
            origin=GeofenceOrigin.PLANNER,
            changed_at=at,
            created_at=at,
            updated_at=at,
        )
        return GeofenceNews(geofence, deleted)

    await source.take_geofence(news(0, deleted=False))
    assert await kept(pool) == []
    await source.take_geofence(news(1, deleted=True))
    assert not await source.take_geofence(news(1, deleted=True))  # read again
    (told,) = [each.operation for each in await kept(pool)]
    assert (told.type, told.subscription_id) == ("webhook.failing", named)
    assert (told.data["reason"], told.data["since"]) == ("geofence_deleted", rfc3339(after(1)))


@pytest.mark.parametrize("end", ["done", "cancelled"])
async def test_the_end_of_a_resend_to_one_subscription_is_told_once(pool: Pool, end: str) -> None:
    id_ = await a_subscription(pool)
    store = PostgresResends(pool=pool)
    job = Resend(
        id=an_id(),
        project_id=PROJECT,
        asked=DeadFilter(subscription_id=id_),
        until_id=None,
        state=JobState.QUEUED,
        total=3,
        rate=None,
        error=None,
        created_at=NOW,
        started_at=None,
        finished_at=None,
    )
    await store.add(job)
    assert await store.claim("api", now=NOW, lease=timedelta(seconds=15))
    for _ in range(2):
        if end == "cancelled":
            await store.cancel(job.id, at=after(9))
        else:
            await store.finish(job, "api", state=JobState.DONE, error=None, at=after(9))
    (told,) = [each.operation for each in await kept(pool)]
    assert (told.type, told.subscription_id) == ("webhook.replay_finished", id_)
    assert (told.data["replay_id"], told.data["state"]) == (job.id, end)
    assert told.data["finished_at"] == rfc3339(after(9))
