"""Requests that take too long get a row, so that they hold up no offset and nothing waits for them.

What a lane sends needs no row for that: it holds up only the lane's own cursor.
"""

from services.deliver.outboxes import Outboxes
from services.dispatch.latest import Latest
from services.dispatch.limits import Limits
from services.dispatch.owned import OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.subscriptions import Subscriptions
from services.kernel.clock import Clock
from services.kernel.delivery import Settlement
from services.kernel.subscription import Status

INTERVAL_SECONDS = 0.25


class Overdue:
    """Looks four times a second."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        parking: Parking,
        subscriptions: Subscriptions,
        latest: Latest,
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._parking = parking
        self._subscriptions = subscriptions
        self._latest = latest
        self._clock = clock
        self._limits = limits

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(INTERVAL_SECONDS)
            self.look()

    def look(self) -> None:
        """Give overdue requests a row; send again what can only be retried from memory."""
        for delivery in self._outboxes.in_flight_for(self._limits.park_after):
            owned = self._partitions.current(delivery.position.partition)
            # What outlasts a partition that is let go of has its row: it must not lose its due time.
            if owned is not None and owned.active and owned.lane_of(delivery) is None:
                self._parking.set_down(delivery)
        for delivery in self._parking.due_from_memory():
            subscription = self._subscriptions.get(delivery.subscription_id)
            if subscription is None:
                self._parking.discard(delivery, Settlement.GONE)
            elif subscription.status is Status.ACTIVE:
                fetched = self._latest.fetch(delivery, subscription)
                self._outboxes.deliver(fetched or delivery, subscription)
            elif self._parking.holds(delivery):  # its row may be there: nobody would fetch it
                self._parking.put_back(delivery)
            else:
                self._parking.postpone(delivery)
