"""What workers tell of themselves, and what the API and people read of it."""

from collections.abc import AsyncIterator
from datetime import datetime

import asyncpg
import pytest

from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.health import HealthRow
from services.store.health import PostgresHealth
from services.store.pool import Pool
from tests.support.databases import connected
from tests.support.rows import NOW, a_pool, after, an_id

A, B = SubscriptionId(an_id()), SubscriptionId(an_id())


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        yield pool


@pytest.fixture
def health(pool: Pool) -> PostgresHealth:
    return PostgresHealth(pool=pool)


def failing(id_: SubscriptionId, count: int, *, since: datetime = NOW) -> HealthRow:
    return HealthRow(id_, count, "http", 503, since)


def well(id_: SubscriptionId) -> HealthRow:
    return HealthRow(id_, 0, "ok", 200, NOW)


async def rows(database: str) -> list[asyncpg.Record]:
    async with connected(database) as connection:
        return await connection.fetch("select * from health order by worker, subscription_id")


async def counts(database: str) -> dict[tuple[str, str], int]:
    return {
        (row["worker"], row["subscription_id"]): row["failure_count"]
        for row in await rows(database)
    }


async def test_a_worker_tells_who_fails_how_and_since_when(
    database: str, health: PostgresHealth
) -> None:
    timeout = HealthRow(B, 1, "timeout", None, after(5))
    await health.report(worker="w0", partitions=3, rows=[failing(A, 4), timeout])
    found = [
        (row["subscription_id"], row["failure_count"], row["outcome"], row["status"], row["since"])
        for row in await rows(database)
    ]
    assert found == [(A, 4, "http", 503, NOW), (B, 1, "timeout", None, after(5))]


async def test_the_newest_word_of_a_worker_holds(database: str, health: PostgresHealth) -> None:
    await health.report(worker="w0", partitions=1, rows=[failing(A, 1)])
    await health.report(worker="w0", partitions=1, rows=[failing(A, 2)])
    await health.report(worker="w1", partitions=1, rows=[failing(A, 5)])
    assert await counts(database) == {("w0", A): 2, ("w1", A): 5}


async def test_a_success_at_one_worker_ends_the_failures_counted_by_all(
    database: str, health: PostgresHealth
) -> None:
    await health.report(worker="w0", partitions=1, rows=[failing(A, 2), failing(B, 1)])
    await health.report(worker="w1", partitions=1, rows=[well(A)])
    assert await counts(database) == {("w0", B): 1}


async def test_a_worker_with_nothing_to_tell_is_seen_to_live(
    database: str, health: PostgresHealth
) -> None:
    await health.report(worker="w0", partitions=3, rows=[])
    async with connected(database) as connection:
        first = await connection.fetchrow("select * from workers")
        await health.report(worker="w0", partitions=5, rows=[])
        (second,) = await connection.fetch("select * from workers")
    assert first is not None
    assert (first["worker"], first["partitions"]) == ("w0", 3)
    assert (second["worker"], second["partitions"]) == ("w0", 5)
    assert second["updated_at"] > first["updated_at"]
