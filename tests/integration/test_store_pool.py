"""Connections come back by themselves; what may pass has one name, and a bug keeps its own."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.kernel.errors import StoreGoneError
from services.store.pool import Pool
from tests.support.cluster import free_port
from tests.support.databases import connected
from tests.support.rows import NOW, PROJECT, a_pool, a_project


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database, size=2) as pool:
        yield pool


async def cut(database: str) -> int:
    """End all other sessions of the database, as a failover does; return how many there were."""
    async with connected(database) as connection:
        return len(
            await connection.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        )


async def test_after_a_cut_line_statements_work_again(database: str, pool: Pool) -> None:
    await a_project(pool)
    assert await cut(database)
    for _ in range(2):  # one connection may only now learn that it is dead
        try:
            assert await pool.fetchrow("get_project", PROJECT) is not None
            break
        except StoreGoneError:
            continue
    assert await pool.fetchrow("get_project", PROJECT) is not None


async def test_a_transaction_that_was_cut_is_an_outage_and_leaves_nothing(
    database: str, pool: Pool
) -> None:
    async def interrupted() -> None:
        async with pool.transaction() as connection:
            await connection.execute("insert into projects values ($1, 'x', $2, $2)", PROJECT, NOW)
            await cut(database)
            await connection.execute("select 1")

    with pytest.raises(StoreGoneError):
        await interrupted()
    assert await pool.fetchrow("get_project", PROJECT) is None


async def test_a_migration_beside_a_running_version_costs_a_transaction_and_no_process(
    database: str, pool: Pool
) -> None:
    await a_project(pool)

    async def read() -> None:
        async with pool.transaction() as connection:
            assert await connection.fetchrow("select * from projects") is not None

    await read()
    async with connected(database) as connection:
        await connection.execute("alter table projects add column of_the_next_version text")
    with pytest.raises(StoreGoneError, match="cached"):
        await read()
    await read()


async def test_a_connection_on_its_way_back_is_no_error_at_the_end(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    async def hold() -> None:
        async with pool.connection() as connection:
            await connection.fetch("select 1")

    async with asyncio.TaskGroup() as group:
        holding = group.create_task(hold())
        while not holding.done():
            await asyncio.sleep(0)
            if pool._pool is not None and pool._pool.get_idle_size() == 0:
                await pool.close()
    await asyncio.sleep(0)
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_a_statement_that_takes_too_long_is_an_outage(database: str) -> None:
    pool = Pool(dsn=database, size=1, seconds=5.0)
    try:
        await pool.open()  # connecting has the same limit, also after it, and is not meant here
        with pytest.raises(StoreGoneError):
            async with pool.connection() as connection:
                await connection.execute("select pg_sleep(60)")
        async with pool.connection() as connection:
            assert await connection.fetchval("select 1") == 1
    finally:
        await pool.close()


async def test_waiting_for_a_connection_has_an_end(database: str) -> None:
    pool = Pool(dsn=database, size=1, seconds=2.0)
    try:
        async with pool.connection():
            with pytest.raises(StoreGoneError):
                await pool.fetchrow("get_project", PROJECT)
    finally:
        await pool.close()


async def test_a_bug_of_ours_is_no_outage_that_one_waits_out(pool: Pool) -> None:
    await a_project(pool)
    with pytest.raises(asyncpg.UniqueViolationError):
        await a_project(pool)
    with pytest.raises(asyncpg.DataError):
        await pool.fetchrow("get_project", 5)
    with pytest.raises(asyncpg.DataError):
        await pool.execute("release_partitions", ["t"], [0], [1 << 64])


async def test_without_postgres_a_pool_says_so() -> None:
    pool = Pool(dsn=f"postgresql://x@127.0.0.1:{free_port()}/x", size=1, seconds=2.0)
    with pytest.raises(StoreGoneError, match="Postgres can't be reached"):
        await pool.open()
    with pytest.raises(StoreGoneError, match="Postgres can't be reached"):
        await pool.fetchrow("get_project", PROJECT)


async def test_many_at_once_share_a_few_connections(pool: Pool) -> None:
    await a_project(pool)
    found = await asyncio.gather(*(pool.fetchrow("get_project", PROJECT) for _ in range(50)))
    assert all(row is not None for row in found)
