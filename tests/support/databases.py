"""Databases of a test's own; the fixture `database` is a fresh one per test."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

TRIES = 12
"""Of five seconds each: so long Postgres waits for sessions that it has sent away, and for its own
autovacuum. On a busy machine they need longer."""


@asynccontextmanager
async def a_database(server: str, *, template: str = "template0") -> AsyncIterator[str]:
    """Make a database on *server*, empty or like *template*; yield its DSN; drop it."""
    dsn = await new_database(server, template=template)
    try:
        yield dsn
    finally:
        await drop_database(server, dsn)


async def new_database(server: str, *, template: str = "template0", named: str = "test") -> str:
    """Make a database on *server*; return its DSN."""
    name = f"{named}_{uuid.uuid4().hex[:12]}"
    await _run(server, f'create database "{name}" template "{template}"')
    return server.rpartition("/")[0] + "/" + name


async def drop_database(server: str, dsn: str) -> None:
    """Drop a database of *server*, whoever still uses it."""
    await _run(server, f'drop database "{dsn.rpartition("/")[2]}" with (force)')


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Hold a connection of the test's own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _run(dsn: str, sql: str) -> None:
    async with connected(dsn) as connection:
        for left in reversed(range(TRIES)):
            try:
                await connection.execute(sql)
            except asyncpg.ObjectInUseError:
                if not left:
                    raise
            else:
                return
