"""Keys of ordered subscriptions, as the API frees them: their rows say so, their owner does it."""

from collections.abc import Sequence

from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.registration import HeldEvent
from services.store.pool import Pool


class PostgresKeys:
    """The `KeyStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def release(self, id_: SubscriptionId, key: str, *, skip: bool) -> Sequence[HeldEvent]:
        """Have the first event of *key*, on each partition, tried again or given up."""
        rows = await self._pool.fetch("release_key", id_, key, skip)
        return [
            HeldEvent(
                Position(Partition(row["topic"], row["partition"]), row["offset"]), row["event_id"]
            )
            for row in rows
        ]
