"""Dead letters as Postgres keeps them; what rows are for is in `contract/test_store`."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.kernel.attempt import Outcome
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.partitions import Floor
from services.kernel.ports.store.retries import Bury, Park
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.retries import PostgresRetries
from tests.support.databases import connected
from tests.support.rows import (
    EVENTS,
    NOW,
    a_delivery,
    a_pool,
    a_project,
    a_subscription,
    an_attempt,
)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """The partition is owned, in its first epoch."""
    async with a_pool(database) as pool:
        await a_project(pool)
        await PostgresPartitions(pool=pool).assign({EVENTS: Floor(0, 0)}, worker="w0")
        yield pool


@pytest.fixture
def store(pool: Pool) -> PostgresRetries:
    return PostgresRetries(pool=pool)


@pytest.fixture
async def subscription(pool: Pool) -> SubscriptionId:
    return await a_subscription(pool)


async def table(database: str, name: str) -> list[asyncpg.Record]:
    async with connected(database) as connection:
        return await connection.fetch(f'select * from {name} order by "offset"')  # noqa: S608


async def test_a_dead_letter_keeps_body_reason_and_the_last_answer_and_takes_the_row_away(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    delivery = a_delivery(subscription, offset=3, number=10)
    await store.write([Park(delivery, NOW, an_attempt())])
    attempt = an_attempt(Outcome.HTTP, status=500, excerpt=b"\x00oops", error=None)
    await store.write([Bury(delivery, "exhausted", attempt)])
    assert await table(database, "retries") == []
    (row,) = await table(database, "dead_letters")
    expected = {
        "subscription_id": subscription,
        "event_id": delivery.event_id,
        "body": delivery.body,
        "attempts": 10,
        "reason": "exhausted",
        "outcome": "http",
        "status": 500,
        "error": None,
        "response": b"\x00oops",
    }
    assert {name: row[name] for name in expected} == expected


async def test_a_dead_letter_without_an_attempt_counts_those_before(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await store.write([Bury(a_delivery(subscription, number=4), "disabled", None)])
    (row,) = await table(database, "dead_letters")
    assert (row["attempts"], row["outcome"], row["response"]) == (3, None, b"")


@pytest.mark.parametrize("error", ["a\x00b", "lone \udc80 surrogate"])
async def test_an_error_that_postgres_cannot_keep_is_kept_as_far_as_it_can(
    error: str, database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    attempt = an_attempt(Outcome.RESET, status=None, error=error)
    await store.write([Bury(a_delivery(subscription), "exhausted", attempt)])
    (row,) = await table(database, "dead_letters")
    assert row["error"] in ("ab", "lone ? surrogate")
