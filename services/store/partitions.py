"""Table `partitions`: the fencing numbers of the workers."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Start
from services.kernel.ports.store.partitions import Assignment, Floor, Stand
from services.kernel.ports.store.retries import KeyRow, SettledRow, Usage
from services.store.lanes import lane_of, start_of
from services.store.pool import Pool, queries


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
            settled_rows = await connection.fetch(
                sql["settled_rows"], topics, numbers, [floors[p].offset for p in asked]
            )
            usage_rows = await connection.fetch(sql["retry_usage"], topics, numbers)
            key_rows = await connection.fetch(sql["key_rows"], topics, numbers)
            lane_rows = await connection.fetch(sql["lanes_of"], topics, numbers)
            start_rows = await connection.fetch(sql["starts_of"], topics, numbers, None)
        settled: dict[Partition, list[SettledRow]] = defaultdict(list)
        for row in settled_rows:
            found_rows = settled[Partition(row["topic"], row["partition"])]
            id_, dead = row["subscription_id"], row["dead"]
            if row["members"] is None:
                found_rows.append(SettledRow(row["offset"], id_, row["event_id"], dead))
            else:
                found_rows += [
                    SettledRow(int(offset), id_, None, dead) for offset in row["members"].split(",")
                ]
        usage: dict[Partition, dict[SubscriptionId, Usage]] = defaultdict(dict)
        for row in usage_rows:
            usage[Partition(row["topic"], row["partition"])][row["subscription_id"]] = Usage(
                row["rows"], row["bytes"]
            )
        lanes: dict[Partition, list[LaneRow]] = defaultdict(list)
        for lane in map(lane_of, lane_rows):
            lanes[lane.partition].append(lane)
        starts: dict[Partition, list[Start]] = defaultdict(list)
        for start in map(start_of, start_rows):
            starts[start.partition].append(start)
        keys: dict[Partition, list[KeyRow]] = defaultdict(list)
        for row in key_rows:
            keys[Partition(row["topic"], row["partition"])].append(
                KeyRow(row["subscription_id"], row["order_key"], row["offset"], row["behind"])
            )
        found = {}
        for row in epochs:
            partition = Partition(row["topic"], row["partition"])
            found[partition] = Assignment(
                epoch=row["epoch"],
                committed=row["committed"],
                committed_epoch=row["epoch"] if row["went_back"] else row["epoch"] - 1,
                writes=row["writes"],
                settled=settled[partition],
                usage=usage[partition],
                keys=keys[partition],
                lanes=lanes[partition],
                starts=starts[partition],
            )
        return found

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

    async def move_lanes_back(self, partition: Partition, *, epoch: int, offset: int) -> None:
        """Have the lanes that stand above *offset* go on there, if the epoch stands."""
        await self._pool.execute(
            "move_lanes_back", partition.topic, partition.number, epoch, offset
        )

    async def record_gap(
        self, partition: Partition, *, from_offset: int, to_offset: int, reason: str, at: datetime
    ) -> None:
        """Keep that a range was not delivered and why."""
        await self._pool.execute(
            "record_gap", partition.topic, partition.number, from_offset, to_offset, reason, at
        )
