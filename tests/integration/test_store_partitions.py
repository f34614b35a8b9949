"""Epochs where transactions meet in Postgres; what they are for is in `contract/test_store`."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.kernel.event import Partition
from services.kernel.operation import About, Operation, gap
from services.kernel.ports.store.partitions import Assignment, Floor, PartitionStore
from services.store.operations import AT_ONCE, PostgresOperations
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool, queries
from tests.support.databases import connected
from tests.support.eventually import eventually
from tests.support.rows import (
    EVENTS,
    NOW,
    PROJECT,
    a_pool,
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


async def assigned(
    store: PartitionStore, partition: Partition = EVENTS, floor: Floor = START
) -> Assignment:
    return (await store.assign({partition: floor}, worker="w0"))[partition]


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


async def test_a_gap_is_told_to_more_than_one_statement_takes_in_order(
    pool: Pool, store: PostgresPartitions
) -> None:
    ids = [f"{n:024x}" for n in range(AT_ONCE + 2)]
    told = [a_gap_told(id_) for id_ in ids]
    await store.record_gap(
        EVENTS, from_offset=5, to_offset=9, reason="skipped", at=NOW, operations=told
    )
    kept = await PostgresOperations(pool=pool).waiting(limit=AT_ONCE * 2)
    assert [each.operation.subscription_id for each in kept] == ids


async def test_a_gap_that_can_not_be_told_is_not_recorded(
    database: str, store: PostgresPartitions
) -> None:
    unreadable = a_gap_told("\0")
    told = [a_gap_told(f"{n:024x}") for n in range(AT_ONCE)] + [unreadable]
    with pytest.raises(asyncpg.PostgresError):
        await store.record_gap(
            EVENTS, from_offset=5, to_offset=9, reason="skipped", at=NOW, operations=told
        )
    async with connected(database) as connection:
        sql = "select (select count(*) from gaps) + (select count(*) from operations)"
        assert await connection.fetchval(sql) == 0


def a_gap_told(id_: str) -> Operation:
    about = About(project_id=PROJECT, subscription_id=id_)
    return gap(
        about, EVENTS, from_offset=5, to_offset=9, from_time=None, to_time=None, reason="skipped"
    )


async def test_a_gap_is_recorded_with_its_range_and_reason(
    database: str, store: PostgresPartitions
) -> None:
    await store.record_gap(
        EVENTS, from_offset=5, to_offset=9, reason="retention", at=NOW, operations=()
    )
    async with connected(database) as connection:
        row = await connection.fetchrow("select * from gaps")
    assert row is not None
    assert tuple(row)[1:] == (*EVENTS, 5, 9, "retention", NOW, None, None, False, None)
