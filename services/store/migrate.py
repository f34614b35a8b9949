"""Migrations: in order, once each, under a lock, each in a transaction of its own."""

import asyncio
import re
from importlib import resources
from typing import NamedTuple

import asyncpg

from services.kernel.errors import StoreGoneError
from services.store.pool import GONE

LOCK = 5_743_019_271
LOOK_SECONDS = 10.0
_FILE = re.compile(r"(\d{4})_\w+\.sql\Z")


class Migration(NamedTuple):
    """One step."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return all steps in order."""
    folder = resources.files("schemas").joinpath("postgres", "migrations")
    found = [
        Migration(int(match[1]), file.name, file.read_text())
        for file in folder.iterdir()
        if (match := _FILE.match(file.name))
    ]
    return sorted(found)


async def pending(dsn: str) -> list[str]:
    """Return the names of steps that were not taken yet. Raises StoreGoneError."""
    return await _migrate(dsn, apply=False)


async def migrate(dsn: str) -> list[str]:
    """Take the steps that were not taken yet; return their names. Raises StoreGoneError."""
    return await _migrate(dsn, apply=True)


async def all_taken(dsn: str) -> None:
    """Return if no step is left. Raises StoreGoneError that names those that are."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            left = await pending(dsn)
    except TimeoutError as error:
        raise StoreGoneError("a migration is under way") from error
    if left:
        raise StoreGoneError(f"no {', '.join(left)}: `planner-webhooks migrate` makes the tables")


async def _migrate(dsn: str, *, apply: bool) -> list[str]:
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except GONE as error:
        raise StoreGoneError(f"Postgres can't be reached: {error}") from error
    try:
        # The lock goes with the session: a second migration waits for the first, whatever happens.
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        return await _take(connection, apply=apply)
    except GONE as error:
        raise StoreGoneError(f"Postgres is gone: {error}") from error
    finally:
        connection.terminate()


async def _take(connection: asyncpg.Connection, *, apply: bool) -> list[str]:
    exists = await connection.fetchval("select to_regclass('schema_migrations') is not null")
    taken = set()
    if exists:
        rows = await connection.fetch("select number from schema_migrations")
        taken = {row["number"] for row in rows}
    left = [migration for migration in migrations() if migration.number not in taken]
    if not apply:
        return [migration.name for migration in left]
    for migration in left:
        async with connection.transaction():
            await connection.execute(
                "create table if not exists schema_migrations"
                " (number integer primary key, name text not null,"
                " taken_at timestamptz not null default now())"
            )
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into schema_migrations (number, name) values ($1, $2)",
                migration.number,
                migration.name,
            )
    return [migration.name for migration in left]
