"""What waits for one subscription: tables `lanes`, `starts` and `retries`, as the API reads them."""

from services.kernel.backlog import LaneSeen, Waiting
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
