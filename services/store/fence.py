"""The fence of every write, asked in the write's own transaction: does the epoch still stand?"""

from collections.abc import Collection, Mapping
from typing import TypeAlias

import asyncpg

from services.kernel.event import Partition
from services.store.pool import queries

Fenced: TypeAlias = tuple[Partition, int]
"""A partition, and the epoch under which something was decided."""


async def standing(
    connection: asyncpg.Connection, asked: Collection[Fenced], known: Mapping[Partition, int]
) -> set[Fenced]:
    """Return which of *asked* stand, and count one write more of their partitions.

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
    return {(Partition(row["topic"], row["partition"]), row["epoch"]) for row in rows}


def over(asked: Collection[Fenced], stood: Collection[Fenced]) -> set[Partition]:
    """Return the partitions of which nothing was written, since no epoch of theirs stood."""
    return {partition for partition, _ in asked} - {partition for partition, _ in stood}
