"""Retry rows and dead letters: durable when written, due in their order, fenced by their epoch."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg
import pytest

from services.kernel.attempt import Outcome
from services.kernel.clock import SystemClock
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.partitions import Floor
from services.kernel.ports.store.retries import Bury, Park, Remove, RowChange
from services.kernel.subscription import Status
from services.store.changes import PostgresSubscriptionSource
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from services.store.retries import PostgresRetries
from tests.support.databases import connected
from tests.support.rows import (
    EVENTS,
    NOW,
    a_cipher,
    a_delivery,
    a_pool,
    a_project,
    a_subscription,
    after,
    an_attempt,
)

OTHER = Partition("planner.events", 1)
BOTH = {EVENTS: 1, OTHER: 1}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """Two partitions are owned, in their first epochs."""
    async with a_pool(database) as pool:
        await a_project(pool)
        await new_epoch(pool, EVENTS)
        await new_epoch(pool, OTHER)
        yield pool


@pytest.fixture
def store(pool: Pool) -> PostgresRetries:
    return PostgresRetries(pool=pool)


@pytest.fixture
async def subscription(pool: Pool) -> SubscriptionId:
    return await a_subscription(pool)


async def new_epoch(pool: Pool, partition: Partition) -> int:
    found = await PostgresPartitions(pool=pool).assign({partition: Floor(0, 0)}, worker="w0")
    return found[partition].epoch


async def due(
    store: PostgresRetries,
    *,
    now: datetime = NOW,
    limit: int = 100,
    skip: Sequence[Delivery] = (),
    busy: Sequence[SubscriptionId] = (),
    epochs: dict[Partition, int] | None = None,
) -> list[Delivery]:
    rows = await store.due(
        BOTH if epochs is None else epochs,
        now=now,
        limit=limit,
        skip=[delivery.pair for delivery in skip],
        busy=busy,
    )
    return list(rows)


async def offsets_due(store: PostgresRetries, **arguments: object) -> list[int]:
    return [row.position.offset for row in await due(store, **arguments)]  # type: ignore[arg-type]


async def table(database: str, name: str) -> list[asyncpg.Record]:
    async with connected(database) as connection:
        return await connection.fetch(f'select * from {name} order by "offset"')  # noqa: S608


async def test_a_parked_delivery_comes_back_as_it_was_when_it_is_due(
    store: PostgresRetries, subscription: SubscriptionId
) -> None:
    delivery = a_delivery(
        subscription,
        offset=7,
        body=b'{"label":"pla\xc3\xa7a"}',
        number=3,
        replay="5e208446c97efa37d4830b77",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        trigger=Trigger.RETRY,
        retry_reason="timeout",
    )
    await store.write([Park(delivery, after(5), an_attempt(Outcome.TIMEOUT, status=None))])
    assert await due(store, now=after(4.9)) == []
    assert await due(store, now=after(5)) == [delivery]


async def test_a_delivery_parked_before_its_first_attempt_comes_back_as_a_live_one(
    store: PostgresRetries, subscription: SubscriptionId
) -> None:
    delivery = a_delivery(subscription, key=None)
    await store.write([Park(delivery, NOW, None)])
    assert await due(store) == [delivery]


async def test_what_is_due_carries_the_epoch_of_its_owner_now(
    pool: Pool, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await store.write([Park(a_delivery(subscription, epoch=1), NOW, None)])
    epoch = await new_epoch(pool, EVENTS)
    assert [row.epoch for row in await due(store, epochs={EVENTS: epoch})] == [epoch]


async def test_a_row_parked_in_flight_is_not_due(
    store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await store.write([Park(a_delivery(subscription), None, None)])
    assert await due(store, now=after(1e8)) == []


async def test_parking_again_overwrites_the_row(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    first = a_delivery(subscription)
    await store.write([Park(first, after(5), an_attempt())])
    again = replace(first, number=2, trigger=Trigger.RETRY, retry_reason="connect")
    await store.write([Park(again, after(300), an_attempt(Outcome.CONNECT, status=None))])
    (row,) = await table(database, "retries")
    assert (row["number"], row["due_at"], row["outcome"], row["status"]) == (
        2,
        after(300),
        "connect",
        None,
    )


async def test_an_acknowledged_delivery_leaves_no_row(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    kept, gone = a_delivery(subscription, offset=1), a_delivery(subscription, offset=2)
    await store.write([Park(kept, NOW, None), Park(gone, NOW, None)])
    await store.write([Remove(gone)])
    assert [row["offset"] for row in await table(database, "retries")] == [1]
    assert await table(database, "dead_letters") == []


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


async def test_of_several_changes_of_one_delivery_the_last_holds(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    one, two = a_delivery(subscription, offset=1), a_delivery(subscription, offset=2)
    await store.write([Park(one, NOW, None), Remove(two), Park(two, NOW, None), Remove(one)])
    assert [row["offset"] for row in await table(database, "retries")] == [2]


async def test_an_event_of_a_recreated_topic_has_a_row_of_its_own(
    database: str, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    old = a_delivery(subscription, offset=0, event_id="old")
    new = a_delivery(subscription, offset=0, event_id="new")
    await store.write([Park(old, NOW, None), Park(new, NOW, None)])
    await store.write([Remove(old)])
    assert [row["event_id"] for row in await table(database, "retries")] == ["new"]


async def test_rows_are_due_oldest_first_and_no_more_than_asked_for(
    store: PostgresRetries, subscription: SubscriptionId
) -> None:
    moments = {4: 30, 5: 10, 6: 20, 7: 50}
    await store.write(
        [Park(a_delivery(subscription, offset=n), after(at), None) for n, at in moments.items()]
    )
    assert await offsets_due(store, now=after(40)) == [5, 6, 4]
    assert await offsets_due(store, now=after(40), limit=2) == [5, 6]


async def test_what_is_in_the_process_already_is_not_due(
    store: PostgresRetries, subscription: SubscriptionId, pool: Pool
) -> None:
    other = await a_subscription(pool)
    held = a_delivery(subscription, offset=1)
    await store.write(
        [
            Park(held, NOW, None),
            Park(a_delivery(other, offset=1), NOW, None),
            Park(a_delivery(subscription, offset=2), NOW, None),
            Park(a_delivery(subscription, offset=1, partition=OTHER), NOW, None),
        ]
    )
    found = await due(store, skip=[held])
    assert {row.pair for row in found} == {
        a_delivery(other, offset=1).pair,
        a_delivery(subscription, offset=2).pair,
        a_delivery(subscription, offset=1, partition=OTHER).pair,
    }


async def test_rows_of_a_busy_subscription_do_not_crowd_out_those_of_others(
    store: PostgresRetries, subscription: SubscriptionId, pool: Pool
) -> None:
    other = await a_subscription(pool)
    await store.write([Park(a_delivery(subscription, offset=n), NOW, None) for n in range(5)])
    await store.write([Park(a_delivery(other, offset=9), after(1), None)])
    assert await offsets_due(store, now=after(1), limit=2, busy=[subscription]) == [9]


async def test_only_rows_of_owned_partitions_are_due(
    store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await store.write(
        [
            Park(a_delivery(subscription, offset=1), NOW, None),
            Park(a_delivery(subscription, offset=2, partition=OTHER), NOW, None),
        ]
    )
    assert await offsets_due(store, epochs={OTHER: 1}) == [2]
    assert await offsets_due(store, epochs={}) == []


async def test_rows_of_a_paused_or_disabled_subscription_wait_until_it_is_active_again(
    pool: Pool, store: PostgresRetries
) -> None:
    registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())
    source = PostgresSubscriptionSource(pool=pool, cipher=a_cipher(), clock=SystemClock())
    paused = await a_subscription(pool, status=Status.PAUSED)
    disabled = await a_subscription(pool)
    await store.write([Park(a_delivery(paused, offset=1), NOW, None)])
    await store.write([Park(a_delivery(disabled, offset=2), after(1), None)])
    await source.disable(disabled, reason="gone", at=NOW)
    assert await offsets_due(store, now=after(1)) == []
    for id_ in (paused, disabled):
        before = await registrations.get(id_)
        assert before is not None
        active = replace(before, status=Status.ACTIVE)
        assert await registrations.replace(active, version=before.version)
    assert await offsets_due(store, now=after(1)) == [1, 2]


async def test_a_deleted_subscription_gets_no_rows_any_more(
    database: str, pool: Pool, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await store.write([Park(a_delivery(subscription, offset=1), NOW, None)])
    await PostgresRegistrations(pool=pool, cipher=a_cipher()).delete(subscription, at=NOW)
    late = [
        Park(a_delivery(subscription, offset=2), NOW, None),
        Bury(a_delivery(subscription, offset=3), "exhausted", None),
    ]
    assert await store.write(late) == set()
    assert await table(database, "retries") == []
    assert await table(database, "dead_letters") == []


def parks(delivery: Delivery) -> RowChange:
    return Park(replace(delivery, number=9), after(99), an_attempt())


def removes(delivery: Delivery) -> RowChange:
    return Remove(delivery)


def buries(delivery: Delivery) -> RowChange:
    return Bury(delivery, "exhausted", an_attempt())


CHANGES = pytest.mark.parametrize("change", [parks, removes, buries])


@CHANGES
async def test_a_worker_whose_epoch_is_over_changes_nothing_and_is_told(
    change: type[RowChange],
    database: str,
    pool: Pool,
    store: PostgresRetries,
    subscription: SubscriptionId,
) -> None:
    delivery = a_delivery(subscription, epoch=1)
    await store.write([Park(delivery, NOW, None)])
    await new_epoch(pool, EVENTS)
    before = await table(database, "retries")
    assert await store.write([change(delivery)]) == {EVENTS}
    assert await table(database, "retries") == before
    assert await table(database, "dead_letters") == []


async def test_after_a_release_its_owner_writes_no_rows(
    database: str, pool: Pool, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await PostgresPartitions(pool=pool).release({EVENTS: 1})
    assert await store.write([Park(a_delivery(subscription, epoch=1), NOW, None)]) == {EVENTS}
    assert await table(database, "retries") == []


async def test_a_lost_partition_does_not_hold_up_the_others_of_a_batch(
    database: str, pool: Pool, store: PostgresRetries, subscription: SubscriptionId
) -> None:
    await new_epoch(pool, EVENTS)
    refused = await store.write(
        [
            Park(a_delivery(subscription, offset=1, epoch=1), NOW, None),
            Park(a_delivery(subscription, offset=2, epoch=1, partition=OTHER), NOW, None),
        ]
    )
    assert refused == {EVENTS}
    assert [row["offset"] for row in await table(database, "retries")] == [2]


@CHANGES
async def test_a_partition_that_came_back_does_not_let_changes_of_its_old_epoch_pass(
    change: type[RowChange],
    database: str,
    pool: Pool,
    store: PostgresRetries,
    subscription: SubscriptionId,
) -> None:
    """The same worker may own it again; what it decided before is over all the same."""
    delivery = a_delivery(subscription, offset=1, epoch=1)
    await store.write([Park(delivery, NOW, None)])
    epoch = await new_epoch(pool, EVENTS)
    (before,) = await table(database, "retries")
    new = Park(a_delivery(subscription, offset=2, epoch=epoch), NOW, None)
    assert await store.write([new, change(delivery)]) == set()
    rows = await table(database, "retries")
    assert [row["offset"] for row in rows] == [1, 2]
    assert rows[0] == before
    assert await table(database, "dead_letters") == []
