"""Epochs: a worker that lost a partition without knowing changes nothing in Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock
from services.kernel.event import Partition
from services.kernel.ports.store.partitions import Assignment, Floor, PartitionStore
from services.kernel.ports.store.retries import Bury, Park, SettledRow, Usage
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool, queries
from services.store.retries import PostgresRetries
from tests.support.databases import connected
from tests.support.eventually import eventually
from tests.support.rows import (
    EVENTS,
    NOW,
    a_delivery,
    a_pool,
    a_project,
    a_stand,
    a_subscription,
    after,
    an_attempt,
)

OTHER = Partition("planner.events", 1)
START = Floor(offset=0, epoch=0)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        yield pool


@pytest.fixture
def store(pool: Pool) -> PostgresPartitions:
    return PostgresPartitions(pool=pool)


@pytest.fixture
def retries(pool: Pool) -> PostgresRetries:
    return PostgresRetries(pool=pool)


async def assigned(
    store: PartitionStore, partition: Partition = EVENTS, floor: Floor = START
) -> Assignment:
    return (await store.assign({partition: floor}, worker="w0"))[partition]


async def test_a_partition_never_owned_begins_with_the_first_epoch(
    store: PostgresPartitions,
) -> None:
    expected = Assignment(
        epoch=1,
        committed=None,
        committed_epoch=0,
        settled=[],
        usage={},
        keys=[],
        lanes=[],
        starts=[],
    )
    assert await assigned(store) == expected


async def test_each_owner_has_an_epoch_above_the_one_before_and_finds_what_was_committed(
    store: PostgresPartitions,
) -> None:
    first = await assigned(store)
    await store.report_stands({EVENTS: a_stand(first.epoch, 42)})
    second = await assigned(store, floor=Floor(offset=42, epoch=first.epoch))
    assert (second.epoch, second.committed_epoch, second.committed) == (2, 1, 42)
    third = await assigned(store)
    assert (third.epoch, third.committed_epoch, third.committed) == (3, 2, 42)


async def test_partitions_have_epochs_of_their_own(store: PostgresPartitions) -> None:
    await assigned(store, EVENTS)
    found = await store.assign({EVENTS: START, OTHER: START}, worker="w1")
    assert {partition: row.epoch for partition, row in found.items()} == {EVENTS: 2, OTHER: 1}


async def test_an_owner_whose_epoch_is_over_commits_nothing(store: PostgresPartitions) -> None:
    old = await assigned(store)
    await store.report_stands({EVENTS: a_stand(old.epoch, 42)})
    new = await assigned(store)
    await store.report_stands({EVENTS: a_stand(old.epoch, 99)})
    assert (await assigned(store)).committed == 42
    await store.report_stands({EVENTS: a_stand(new.epoch, 99)})
    assert (await assigned(store)).committed == 42


async def test_after_a_release_its_owner_commits_no_more(store: PostgresPartitions) -> None:
    owner = await assigned(store)
    await store.release({EVENTS: owner.epoch})
    await store.report_stands({EVENTS: a_stand(owner.epoch, 42)})
    heir = await assigned(store)
    assert heir.committed is None
    assert heir.epoch > owner.epoch + 1


async def test_a_late_release_takes_nothing_from_the_next_owner(store: PostgresPartitions) -> None:
    old = await assigned(store)
    new = await assigned(store)
    await store.release({EVENTS: old.epoch})
    await store.report_stands({EVENTS: a_stand(new.epoch, 42)})
    assert (await assigned(store)).committed == 42


async def test_a_new_owner_learns_what_rows_stand_for_from_its_floor_on(
    pool: Pool, store: PostgresPartitions, retries: PostgresRetries
) -> None:
    await a_project(pool)
    a, b = await a_subscription(pool), await a_subscription(pool)
    owner = await store.assign({EVENTS: START, OTHER: START}, worker="w0")
    epoch = owner[EVENTS].epoch
    below, at = a_delivery(a, offset=9, epoch=epoch), a_delivery(a, offset=10, epoch=epoch)
    above = a_delivery(b, offset=11, epoch=epoch)
    elsewhere = a_delivery(b, offset=12, partition=OTHER, epoch=epoch)
    await retries.write(
        [
            Park(below, after(5), an_attempt()),
            Park(at, after(5), an_attempt()),
            Bury(above, "exhausted", an_attempt()),
            Park(elsewhere, after(5), an_attempt()),
        ]
    )
    found = await assigned(store, floor=Floor(offset=10, epoch=epoch))
    assert sorted(found.settled) == [
        SettledRow(10, a, at.event_id, dead=False),
        SettledRow(11, b, above.event_id, dead=True),
    ]
    rows = len(below.body) + len(at.body)
    assert found.usage == {a: Usage(rows=2, bytes=rows)}  # the budget counts rows below it too


async def test_what_the_owner_before_had_in_flight_is_due_for_the_next(
    pool: Pool, store: PostgresPartitions, retries: PostgresRetries
) -> None:
    await a_project(pool)
    subscription = await a_subscription(pool)
    owner = await assigned(store)
    in_flight = a_delivery(subscription, epoch=owner.epoch)
    await retries.write([Park(in_flight, None, None)])

    async def due(epoch: int) -> int:
        now = SystemClock().now() + timedelta(hours=1)
        return len(await retries.due({EVENTS: epoch}, now=now, limit=9, skip=[], busy=[]))

    assert await due(owner.epoch) == 0
    heir = await assigned(store)
    assert await due(heir.epoch) == 1


async def test_a_postgres_older_than_the_offsets_is_told_apart_as_often_as_it_is_asked(
    store: PostgresPartitions,
) -> None:
    """Each start that bumped the epoch would bring it nearer to hiding that it went back."""
    for _ in range(3):
        await assigned(store)
    for _ in range(3):
        found = await assigned(store, floor=Floor(offset=10, epoch=7))
        assert (found.epoch, found.committed_epoch) == (3, 3)
    for _ in range(3):
        found = await assigned(store, OTHER, floor=Floor(offset=10, epoch=1))
        assert (found.epoch, found.committed_epoch) == (0, 0)


async def test_workers_that_assign_crosswise_both_come_through(store: PostgresPartitions) -> None:
    partitions = [Partition("planner.events", n) for n in range(8)]
    orders = [partitions, partitions[::-1], partitions[4:] + partitions[:4]]
    found = await asyncio.gather(
        *(store.assign(dict.fromkeys(orders[n % 3], START), worker=f"w{n}") for n in range(12))
    )
    for partition in partitions:
        assert sorted(one[partition].epoch for one in found) == list(range(1, 13))


async def test_a_new_owner_waits_for_a_write_that_is_under_way(
    pool: Pool, database: str, store: PostgresPartitions
) -> None:
    """Otherwise the old owner's row would appear after the new one has read the rows."""
    await assigned(store)
    async with connected(database) as connection:
        transaction = connection.transaction()
        await transaction.start()
        mine = [[EVENTS.topic], [EVENTS.number], [1], [0]]
        assert await connection.fetch(queries()["count_writes"], *mine)  # as each write begins
        async with asyncio.TaskGroup() as group:
            heir = group.create_task(assigned(store))

            async def waits() -> bool:
                sql = "select count(*) from pg_locks where not granted"
                async with pool.connection() as other:
                    return bool(await other.fetchval(sql))

            await eventually(waits)
            assert not heir.done()
            await transaction.commit()
    assert heir.result().epoch == 2


async def test_a_gap_is_recorded_with_its_range_and_reason(
    database: str, store: PostgresPartitions
) -> None:
    await store.record_gap(EVENTS, from_offset=5, to_offset=9, reason="retention", at=NOW)
    async with connected(database) as connection:
        row = await connection.fetchrow("select * from gaps")
    assert row is not None
    assert tuple(row)[1:] == (*EVENTS, 5, 9, "retention", NOW, None, None, False, None)
