"""Connections to Postgres. Every statement has a time limit; "gone" has one name."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cache
from importlib import resources
from typing import Any

import asyncpg

from services.kernel.errors import StoreGoneError

CLOSE_SECONDS = 1.0
STATEMENTS = 1_000
"""Kept prepared per connection: history has several for each of its days."""
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)

GONE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    # We aren't let in, or the database isn't there: while it is being restored, or its password changed.
    # At the start it is more likely a typo, and the log says so once a second.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    # Between Postgres's notice that it shuts down and the end of the connection, a connection can't be
    # released: it waits for the rest of an answer that never comes.
    asyncpg.InternalClientError,
    # A migration has added a column meanwhile. Outside of a transaction the driver does it again by
    # itself; inside of one it can't, but the next transaction goes by the tables as they are.
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
"""What may pass by itself; everything else is a bug of ours."""


@cache
def queries() -> Mapping[str, str]:
    """Return every statement of `queries/*.sql` by its name."""
    found: dict[str, str] = {}
    for file in sorted(
        resources.files("services.store").joinpath("queries").iterdir(), key=lambda f: f.name
    ):
        parts = _NAME.split(file.read_text())
        found.update(zip(parts[1::2], parts[2::2], strict=True))
    return found


class Pool:
    """A few connections, made when needed, made again when lost."""

    def __init__(self, *, dsn: str, size: int, seconds: float) -> None:
        self._dsn = dsn
        self._seconds = seconds
        self._size = size
        self._pool: asyncpg.Pool | None = None
        self._shared: ContextVar[asyncpg.Connection | None] = ContextVar("shared", default=None)

    async def open(self) -> None:
        """Make the first connection. Raises StoreGoneError."""
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                command_timeout=self._seconds,
                timeout=self._seconds,
                max_inactive_connection_lifetime=300.0,
                statement_cache_size=STATEMENTS,
            )
        except GONE as error:
            raise StoreGoneError(f"Postgres can't be reached: {error}") from error

    async def close(self) -> None:
        """Close what is open; who still holds a connection is waited for a moment only."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()
        except GONE:
            pool.terminate()

    async def fetch(self, name: str, *arguments: Any) -> Sequence[asyncpg.Record]:  # noqa: ANN401 - SQL
        """Run the statement *name* and return its rows. Raises StoreGoneError."""
        async with self.connection() as connection:
            return await connection.fetch(queries()[name], *arguments)

    async def fetchrow(self, name: str, *arguments: Any) -> asyncpg.Record | None:  # noqa: ANN401 - SQL
        """Run the statement *name* and return its first row. Raises StoreGoneError."""
        async with self.connection() as connection:
            return await connection.fetchrow(queries()[name], *arguments)

    async def execute(self, name: str, *arguments: Any) -> int:  # noqa: ANN401 - SQL
        """Run the statement *name* and return how many rows it touched. Raises StoreGoneError."""
        async with self.connection() as connection:
            status = await connection.execute(queries()[name], *arguments)
        last = status.rpartition(" ")[2]
        return int(last) if last.isdigit() else 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Hold one connection in a transaction. Raises StoreGoneError."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Make one transaction of all that this task asks of the pool inside. Raises StoreGoneError.

        For this task alone: a connection does one thing at a time.
        """
        async with self.transaction() as connection:
            token = self._shared.set(connection)
            try:
                yield
            finally:
                self._shared.reset(token)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Hold one connection. Raises StoreGoneError for whatever means that Postgres is gone."""
        shared = self._shared.get()
        if shared is not None:
            try:
                yield shared
            except GONE as error:
                raise _gone(error) from error
            return
        if self._pool is None:
            await self.open()
        pool = self._pool
        assert pool is not None  # noqa: S101 - opened above
        try:
            async with pool.acquire(timeout=self._seconds) as connection:
                yield connection  # type: ignore[misc]  # a proxy of a connection
        except GONE as error:
            raise _gone(error) from error

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[asyncpg.Connection]:
        """Hold a connection outside of the pool, for LISTEN. Raises StoreGoneError."""
        try:
            connection = await asyncpg.connect(
                self._dsn, timeout=self._seconds, command_timeout=self._seconds
            )
        except GONE as error:
            raise StoreGoneError(f"Postgres can't be reached: {error}") from error
        try:
            await connection.execute(f'listen "{channel}"')
            yield connection
        except GONE as error:
            raise StoreGoneError(f"Postgres is gone: {error}") from error
        finally:
            connection.terminate()


def _gone(error: Exception) -> StoreGoneError:
    return StoreGoneError(f"Postgres is gone: {type(error).__name__}: {error}")
