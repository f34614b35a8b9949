"""Table `partitions`: the fencing numbers of the workers."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import asyncpg

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.operation import Operation
from services.kernel.ports.store.partitions import Assignment, Floor, Stand
from services.kernel.ports.store.retries import KeyRow, SettledRow, Usage
from services.store.lanes import lane_of, start_of
from services.store.operations import keep
from services.store.pool import Pool, queries
from services.store.retries import offsets_of


class PostgresPartitions:
    """The `PartitionStore` of the workers."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def assign(
        self, floors: Mapping[Partition, Floor], *, worker: str
    ) -> Mapping[Partition, Assignment]:
        """Begin a new epoch of each partition and load its rows at or above its floor."""
        # Always in the same order: two workers that assign at once must not lock crosswise.
        asked = sorted(floors)
        topics, numbers = [p.topic for p in asked], [p.number for p in asked]
        sql = queries()
        async with self._pool.transaction() as connection:
            epochs = await connection.fetch(
                sql["assign_partitions"],
                topics,
                numbers,
                [floors[p].epoch for p in asked],
                [floors[p].writes for p in asked],
                worker,
            )
            await connection.execute(sql["wake_in_flight"], topics, numbers)
            offsets = [floors[p].offset for p in asked]
            settled = await connection.fetch(sql["settled_rows"], topics, numbers, offsets)
            usage = await connection.fetch(sql["retry_usage"], topics, numbers)
            keys = await connection.fetch(sql["key_rows"], topics, numbers)
            lanes = await connection.fetch(sql["lanes_of"], topics, numbers)
            starts = await connection.fetch(sql["starts_of"], topics, numbers, None)
        return _assignments(
            epochs, settled=settled, usage=usage, keys=keys, lanes=lanes, starts=starts
        )

    async def release(self, epochs: Mapping[Partition, int]) -> None:
        """End these epochs."""
        asked = sorted(epochs)
        await self._pool.execute(
            "release_partitions",
            [p.topic for p in asked],
            [p.number for p in asked],
            [epochs[p] for p in asked],
        )

    async def report_stands(self, stands: Mapping[Partition, Stand]) -> Collection[Partition]:
        """Keep where each stands; return those whose epoch is over."""
        asked = sorted(stands)
        over = await self._pool.fetch(
            "report_partitions",
            [p.topic for p in asked],
            [p.number for p in asked],
            [stands[p].epoch for p in asked],
            [stands[p].committed for p in asked],
            [stands[p].read for p in asked],
            [stands[p].open for p in asked],
            [stands[p].writes for p in asked],
        )
        return [Partition(row["topic"], row["partition"]) for row in over]

    async def move_lanes_back(
        self,
        partition: Partition,
        *,
        epoch: int,
        offset: int,
        begins: Mapping[SubscriptionId, int],
    ) -> None:
        """Have the lanes that stand above *offset* go on there, if the epoch stands."""
        await self._pool.execute(
            "move_lanes_back",
            partition.topic,
            partition.number,
            epoch,
            offset,
            list(begins),
            list(begins.values()),
        )

    async def record_gap(
        self,
        partition: Partition,
        *,
        from_offset: int,
        to_offset: int,
        reason: str,
        at: datetime,
        operations: Sequence[Operation],
    ) -> None:
        """Keep that a range was not delivered and why, and have it told."""
        async with self._pool.transaction() as connection:
            await connection.execute(
                queries()["record_gap"], *partition, from_offset, to_offset, reason, at
            )
            await keep(connection, operations)


def _assignments(
    epochs: Sequence[asyncpg.Record],
    *,
    settled: Sequence[asyncpg.Record],
    usage: Sequence[asyncpg.Record],
    keys: Sequence[asyncpg.Record],
    lanes: Sequence[asyncpg.Record],
    starts: Sequence[asyncpg.Record],
) -> Mapping[Partition, Assignment]:
    """Return what was read of many partitions, by partition."""
    settled_in, usage_in, keys_in = map(_by_partition, (settled, usage, keys))
    lanes_in, starts_in = map(_by_partition, (lanes, starts))
    return {
        partition: Assignment(
            epoch=row["epoch"],
            committed=row["committed"],
            committed_epoch=row["epoch"] if row["went_back"] else row["epoch"] - 1,
            writes=row["writes"],
            settled=[one for each in settled_in[partition] for one in _settled(each)],
            usage={each["subscription_id"]: _usage(each) for each in usage_in[partition]},
            keys=[_key_row(each) for each in keys_in[partition]],
            lanes=[lane_of(each) for each in lanes_in[partition]],
            starts=[start_of(each) for each in starts_in[partition]],
        )
        for partition, (row,) in _by_partition(epochs).items()
    }


def _by_partition(rows: Sequence[asyncpg.Record]) -> Mapping[Partition, list[asyncpg.Record]]:
    found: dict[Partition, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[Partition(row["topic"], row["partition"])].append(row)
    return found


def _settled(row: asyncpg.Record) -> Sequence[SettledRow]:
    """Return what a row stands for: its own offset, or those of all events of a batch."""
    id_, dead = row["subscription_id"], row["dead"]
    if row["members"] is None:
        return [SettledRow(row["offset"], id_, row["event_id"], dead)]
    return [SettledRow(offset, id_, None, dead) for offset in offsets_of(row)]


def _usage(row: asyncpg.Record) -> Usage:
    return Usage(row["rows"], row["bytes"])


def _key_row(row: asyncpg.Record) -> KeyRow:
    return KeyRow(row["subscription_id"], row["order_key"], row["offset"], row["behind"])
