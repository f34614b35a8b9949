"""The fence of every write, checked in the write's own transaction: is the epoch still current?"""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import asyncpg

from services.kernel.event import Partition
from services.store.pool import queries

Fenced: TypeAlias = tuple[Partition, int]
"""A partition, and the epoch under which something was decided."""


async def standing(
    connection: asyncpg.Connection, asked: Collection[Fenced], known: Mapping[Partition, int]
) -> dict[Fenced, int]:
    """Return which of *asked* stand, having counted one write more of their partitions; and the count.

    By epoch: a partition that came back may be in one batch with what it left behind. Where Postgres
    has fewer writes than are *known* it went back in time, and nothing stands.
    """
    fenced = sorted(asked)
    rows = await connection.fetch(
        queries()["count_writes"],
        [partition.topic for partition, _ in fenced],
        [partition.number for partition, _ in fenced],
        [epoch for _, epoch in fenced],
        [known.get(partition, 0) for partition, _ in fenced],
    )
    return {
        (Partition(row["topic"], row["partition"]), row["epoch"]): row["writes"] for row in rows
    }


def counts(stood: Mapping[Fenced, int]) -> dict[Partition, int]:
    """Return the count of each partition of which something was written."""
    return {partition: writes for (partition, _), writes in stood.items()}
