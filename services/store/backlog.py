"""What waits: tables `lanes`, `starts`, `retries` and `partitions`, as the API reads them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from services.kernel.backlog import Behind, InShort, LaneKey, LaneSeen, OwnedSeen, Waiting
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.store.lanes import lane_of, start_of
from services.store.pool import Pool

MAX_KEYS = 20


class PostgresBacklog:
    """The `BacklogStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def waiting(self, id_: SubscriptionId) -> Waiting:
        """Return what the workers have written down."""
        lanes = await self._pool.fetch("lanes_of_subscription", id_)
        starts = await self._pool.fetch("starts_of_subscription", id_)
        retries = await self._pool.fetchrow("retries_of_subscription", id_)
        keys = await self._pool.fetch("held_keys", id_, MAX_KEYS)
        return Waiting(
            lanes=[LaneSeen(lane_of(row), row["updated_at"]) for row in lanes],
            starts=[start_of(row) for row in starts],
            retries=retries["retries"] if retries else 0,
            oldest_ms=retries["oldest_ms"] if retries else None,
            held_keys=[row["order_key"] for row in keys],
        )

    async def in_short(
        self, ids: Sequence[SubscriptionId], *, most: int
    ) -> Mapping[SubscriptionId, InShort]:
        """Return the most important of it for each of *ids*; retries are counted up to *most*."""
        lanes: defaultdict[str, list[Behind]] = defaultdict(list)
        for row in await self._pool.fetch("lanes_in_short", ids):
            partition = Partition(row["topic"], row["partition"])
            lanes[row["subscription_id"]].append(Behind(partition, row["cursor"], row["cursor_at"]))
        return {
            row["id"]: InShort(row["retries"], row["oldest_ms"], lanes[row["id"]])
            for row in await self._pool.fetch("retries_in_short", ids, most)
        }

    async def lanes(
        self, id_: SubscriptionId | None, *, after: LaneKey | None, limit: int
    ) -> Sequence[LaneSeen]:
        """Return lanes of one subscription or of all, newest subscriptions first."""
        rows = await self._pool.fetch("lanes_page", id_, *(after or (None, None, None)), limit)
        return [LaneSeen(lane_of(row), row["updated_at"]) for row in rows]

    async def owned(self) -> Sequence[OwnedSeen]:
        """Return every partition that a worker has owned."""
        return [
            OwnedSeen(
                Partition(row["topic"], row["partition"]),
                row["epoch"],
                row["worker"],
                row["committed"],
                row["read_offset"],
                row["open_offsets"],
                row["updated_at"],
            )
            for row in await self._pool.fetch("owned_partitions")
        ]

    async def lane_counts(self) -> Mapping[Partition, int]:
        """Return how many subscriptions have a lane on each partition where one has."""
        rows = await self._pool.fetch("lane_counts")
        return {Partition(row["topic"], row["partition"]): row["count"] for row in rows}
