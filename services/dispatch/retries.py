"""Due rows come back: the owner of a partition picks them up and sends them again."""

import structlog

from services.deliver.outbox import Outboxes
from services.dispatch.budget import Budget
from services.dispatch.owned import OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.subscriptions import Subscriptions
from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.ports.store import RetryStore
from services.kernel.subscription import Status

log = structlog.get_logger()

MAX_HELD = 1_000
"""Rows in this process at once, bodies included."""
LOOK_SECONDS = 2.0
"""Rows are looked for so often though we know of none: people make some, to send things again."""


class Retries:
    """Looks for due rows, twice a second where there are any."""

    def __init__(
        self,
        *,
        store: RetryStore,
        partitions: OwnedPartitions,
        subscriptions: Subscriptions,
        outboxes: Outboxes,
        parking: Parking,
        budget: Budget,
        clock: Clock,
        poll_seconds: float,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._subscriptions = subscriptions
        self._outboxes = outboxes
        self._parking = parking
        self._budget = budget
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._look_at = 0.0

    async def run(self) -> None:
        """Pick up due rows until cancelled."""
        while True:
            await self._clock.sleep(self._poll_seconds)
            try:
                await self.pick_up()
            except StoreGoneError as error:
                log.warning("retries_wait", error=str(error))

    async def pick_up(self) -> int:
        """Send what is due, oldest first; return how many."""
        held = self._parking.held_rows()
        epochs = self._partitions.epochs()
        room = MAX_HELD - len(held)
        now = self._clock.monotonic()
        known = self._budget.any_rows or now >= self._look_at
        if room <= 0 or not epochs or not known:
            return 0
        due = await self._store.due(
            epochs,
            now=self._clock.now(),
            limit=room,
            skip=held,
            busy=list(self._outboxes.busy()),
        )
        if not due:
            self._look_at = now + LOOK_SECONDS
        sent = 0
        for delivery in due:
            owned = self._partitions.current(delivery.position.partition)
            if owned is None or not owned.active or owned.epoch != delivery.epoch:
                continue
            subscription = self._subscriptions.get(delivery.subscription_id)
            if subscription is None or subscription.status is not Status.ACTIVE:
                continue
            if self._outboxes.rows_wanted(subscription.id) <= 0:
                continue  # there were more of its rows than it can take now
            if self._parking.holds(delivery):
                continue  # an answer came while Postgres was being asked
            self._parking.take(delivery)
            self._outboxes.deliver(delivery, subscription)
            sent += 1
        return sent
