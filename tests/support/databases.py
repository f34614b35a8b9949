"""Databases of a test's own, beside the fixture `database`, which is a fresh one per test."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def a_database(server: str, *, template: str = "template0") -> AsyncIterator[str]:
    """Make a database on *server*, empty or like *template*; yield its DSN; drop it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    await _run(server, f'create database "{name}" template "{template}"')
    try:
        yield server.rpartition("/")[0] + "/" + name
    finally:
        await _run(server, f'drop database "{name}" with (force)')


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
        await connection.execute(sql)
