"""Table `operations`: operational events that Kafka doesn't have yet.

Written in the transaction of what they tell of, whichever store that is: `keep`.
"""

from collections.abc import Sequence

import asyncpg
import orjson

from services.kernel.operation import About, Kept, Operation
from services.store.pool import Pool, queries

AT_ONCE = 2_000
"""Rows of one statement: a gap of a partition may be told to 100,000, and encoding holds up the loop."""


class PostgresOperations:
    """The `OperationStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def waiting(self, *, limit: int) -> Sequence[Kept]:
        """Return what is to be told, in order."""
        return [_kept(row) for row in await self._pool.fetch("waiting_operations", limit)]

    async def told(self, numbers: Sequence[int]) -> None:
        """Forget what Kafka has."""
        await self._pool.execute("forget_operations", list(numbers))


async def keep(connection: asyncpg.Connection, operations: Sequence[Operation]) -> None:
    """Have *operations* told if the transaction of *connection* is committed."""
    for first in range(0, len(operations), AT_ONCE):
        some = operations[first : first + AT_ONCE]
        await connection.execute(
            queries()["keep_operations"],
            [operation.type for operation in some],
            [operation.project_id for operation in some],
            [operation.subscription_id for operation in some],
            [orjson.dumps(operation.data).decode() for operation in some],
        )


def about(row: asyncpg.Record) -> About:
    """Return which subscription *row* is of: its columns `project_id`, `subscription_id`, `url`."""
    return About(
        project_id=row["project_id"], subscription_id=row["subscription_id"], url=row["url"]
    )


def _kept(row: asyncpg.Record) -> Kept:
    return Kept(
        number=row["number"],
        operation=Operation(
            type=row["type"],
            project_id=row["project_id"],
            subscription_id=row["subscription_id"],
            data=orjson.loads(row["data"]),
        ),
        at=row["created_at"],
    )
