"""Events of lanes become batches, sent when they are full or when their first event has waited enough.

What is collected is open in its lane. When the lane starts over, or its partition is let go of, the
batch is dropped here, since its events will be read again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.deliver.batch import fits, joined
from services.deliver.outboxes import Outboxes
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Grouping, Subscription

TICK_SECONDS = 0.02


@dataclass(eq=False)
class _Open:
    """A batch that may still grow."""

    owned: Owned
    lane: Lane
    generation: int
    since: float
    """When its first event was read, monotonic seconds."""
    wait: float
    deliveries: list[Delivery] = field(default_factory=list)
    held: int = 0
    """Bytes of their bodies."""

    def fits(self, grouping: Grouping, size: int) -> bool:
        """Tell whether an event of *size* bytes may join."""
        return fits(grouping, count=len(self.deliveries), held=self.held, size=size)


class Batches:
    """At most one open batch per lane."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._known = known
        self._clock = clock
        self._open: dict[tuple[Partition, SubscriptionId], _Open] = {}
        self._wake = Wake()

    def add(self, owned: Owned, lane: Lane, delivery: Delivery, subscription: Subscription) -> None:
        """Put an event that *lane* has read into its batch."""
        key = owned.partition, lane.subscription_id
        grouping, size = subscription.delivery, len(delivery.body)
        batch = self._open.get(key)
        if batch is not None and not self._stands(batch):
            del self._open[key]
            batch = None
        if batch is not None and not batch.fits(grouping, size):
            self._send(key)
            batch = None
        if batch is None:
            batch = self._open[key] = _Open(
                owned,
                lane,
                lane.generation,
                since=self._clock.monotonic(),
                wait=(grouping.max_wait_ms or 0) / 1000,
            )
            self._wake.set()
        batch.deliveries.append(delivery)
        batch.held += size
        if not batch.fits(grouping, 0):
            self._send(key)

    async def run(self) -> None:
        """Send what has waited long enough, until cancelled."""
        while True:
            await self._wake.wait()
            while self._open:
                await self._clock.sleep(TICK_SECONDS)
                now = self._clock.monotonic()
                for key, batch in list(self._open.items()):
                    if now - batch.since >= batch.wait:
                        self._send(key)

    def _stands(self, batch: _Open) -> bool:
        """Tell whether its lane still counts its events as read."""
        same = batch.lane.generation == batch.generation
        return same and self._partitions.stands(batch.owned, batch.lane)

    def _send(self, key: tuple[Partition, SubscriptionId]) -> None:
        batch = self._open.pop(key)
        subscription = self._known(key[1])
        if subscription is not None and self._stands(batch):
            self._outboxes.deliver(joined(batch.deliveries, subscription), subscription)
