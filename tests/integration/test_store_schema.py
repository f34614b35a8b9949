"""Migrations lead to schema.sql, from any older schema, once each."""

import asyncio
from collections.abc import AsyncIterator
from importlib import resources

import asyncpg
import pytest

from services.kernel.errors import StoreGoneError
from services.store.migrate import migrate, migrations, pending
from tests.support.cluster import free_port
from tests.support.databases import a_database, connected

CATALOGS = {
    "columns": """
        select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid)
        from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v', 'm')
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped""",
    "relations": """
        select relname, relkind::text, relpersistence::text, relrowsecurity, reloptions
        from pg_class where relnamespace = 'public'::regnamespace""",
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace""",
    "indexes": "select indexname, indexdef from pg_indexes where schemaname = 'public'",
    "functions": """
        select proname, pg_get_functiondef(oid)
        from pg_proc where pronamespace = 'public'::regnamespace""",
    "triggers": """
        select tgname, pg_get_triggerdef(oid), tgenabled::text
        from pg_trigger where not tgisinternal""",
    "views": "select viewname, definition from pg_views where schemaname = 'public'",
    "types": """
        select typname, typtype::text from pg_type
        where typnamespace = 'public'::regnamespace and typtype <> 'c' and typelem = 0""",
    "extensions": "select extname from pg_extension",
}
"""All that makes a schema. The order of columns is left out: one that is added later is the last."""


@pytest.fixture
async def empty(embedded_postgres: str) -> AsyncIterator[str]:
    async with a_database(embedded_postgres) as dsn:
        yield dsn


async def catalogs(dsn: str) -> dict[str, list[str]]:
    """Describe the schema, without the table that migrations keep their own account in."""
    async with connected(dsn) as connection:
        return {
            name: sorted(
                text
                for row in await connection.fetch(sql)
                if "schema_migrations" not in (text := repr(tuple(row)))
            )
            for name, sql in CATALOGS.items()
        }


async def test_migrations_from_an_empty_database_give_the_schema_as_it_is_written(
    embedded_postgres: str, empty: str
) -> None:
    for _ in await pending(empty):
        await migrate(empty)
    written = resources.files("schemas").joinpath("postgres", "schema.sql").read_text()
    async with a_database(embedded_postgres) as other:
        async with connected(other) as connection:
            await connection.execute(written)
        expected = await catalogs(other)
    found = await catalogs(empty)
    assert found["columns"]
    for name in CATALOGS:
        assert found[name] == expected[name], name


@pytest.mark.parametrize("taken", range(len(migrations())))
async def test_each_older_schema_is_led_to_todays(taken: int, empty: str, database: str) -> None:
    """A service that was installed *taken* steps ago ends where a new one begins."""
    older = migrations()[:taken]
    async with connected(empty) as connection:
        await connection.execute(
            "create table schema_migrations (number integer primary key, name text not null,"
            " taken_at timestamptz not null default now())"
        )
        for step in older:
            await connection.execute(step.sql)
            await connection.execute(
                "insert into schema_migrations values ($1, $2)", step.number, step.name
            )
    left = [step.name for step in migrations()[taken:]]
    assert await pending(empty) == left
    assert await migrate(empty) == left
    assert await catalogs(empty) == await catalogs(database)


async def test_a_step_is_taken_once(empty: str) -> None:
    names = [step.name for step in migrations()]
    assert await pending(empty) == names
    assert await migrate(empty) == names
    assert await pending(empty) == []
    assert await migrate(empty) == []


async def test_looking_what_is_pending_changes_nothing(empty: str) -> None:
    before = await catalogs(empty)
    await pending(empty)
    assert await catalogs(empty) == before
    async with connected(empty) as connection:
        assert not await connection.fetchval("select to_regclass('schema_migrations') is not null")


async def test_of_migrations_started_at_once_one_does_the_work(empty: str) -> None:
    """Replicas of the service may all migrate when they start."""
    taken = await asyncio.gather(*(migrate(empty) for _ in range(4)))
    assert sorted(taken) == [[], [], [], [step.name for step in migrations()]]


async def test_a_step_that_fails_leaves_nothing_behind(empty: str) -> None:
    async with connected(empty) as connection:
        await connection.execute("create table gaps (in_the_way integer)")
    before = await catalogs(empty)
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate(empty)
    assert await catalogs(empty) == before
    assert await pending(empty) == [step.name for step in migrations()]


async def test_steps_are_numbered_without_gaps() -> None:
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


async def test_without_postgres_a_migration_says_so() -> None:
    with pytest.raises(StoreGoneError, match="Postgres can't be reached"):
        await migrate(f"postgresql://postgres@127.0.0.1:{free_port()}/webhooks")
