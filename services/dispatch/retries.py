"""Due rows come back: the owner of a partition picks them up and sends them again."""

from collections.abc import Sequence

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.budget import Budget
from services.dispatch.expiry import Expiry
from services.dispatch.latest import Latest
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.subscriptions import Subscriptions
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.errors import StoreGoneError
from services.kernel.ports.store.retries import RetryStore
from services.kernel.subscription import Status

log = structlog.get_logger()

MAX_HELD = 1_000
"""Rows in this process at once, bodies included."""
LOOK_SECONDS = 2.0
"""How often to look for rows when we know of none: people create some by resending."""


MAX_KEYS, ROWS_OF_KEY = 50, 20
"""For how many keys, and how many rows, are fetched at once when their turn has come."""
MANY_BUSY = 250
"""Postgres is told who gets none now. When very many are down it is asked less often, in proportion."""
HURRY = 10
"""How soon to look again when there are more rows than one look fetched."""
HURRIED, WORTH = 200, 50
"""Rows of such a look, and how many of one must have found a receiver with room: a thousand are sent
again at the receiver's pace, and nobody fetches what a slow one leaves lying."""
SKIPPED = "skipped"
"""A dead letter's reason: a person released its key without it."""


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
        latest: Latest,
        expiry: Expiry,
        clock: Clock,
        poll_seconds: float,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._subscriptions = subscriptions
        self._outboxes = outboxes
        self._parking = parking
        self._budget = budget
        self._latest = latest
        self._expiry = expiry
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._look_at = 0.0
        self._more = False
        self._busy = 0

    async def run(self) -> None:
        """Pick up due rows until cancelled."""
        while True:
            await self._clock.sleep(self._wait())
            try:
                await self.pick_up()
            except StoreGoneError as error:
                log.warning("retries_wait", error=str(error))

    def _wait(self) -> float:
        """Return the seconds until the next look; never less than configured, except in a hurry."""
        usual = self._poll_seconds
        if self._more:
            return usual / HURRY
        return max(usual, min(usual * self._busy / MANY_BUSY, LOOK_SECONDS))

    async def pick_up(self) -> int:
        """Send what is due, oldest first; return how many."""
        held = self._parking.held_rows()
        epochs = self._partitions.epochs()
        room = min(MAX_HELD - len(held), HURRIED if self._more else MAX_HELD)
        now = self._clock.monotonic()
        known = self._budget.any_rows or now >= self._look_at
        if room <= 0 or not epochs or not known:
            return 0
        busy = list(self._outboxes.busy())
        self._busy = len(busy)
        due = await self._store.due(epochs, now=self._clock.now(), limit=room, skip=held, busy=busy)
        if not due:
            self._look_at = now + LOOK_SECONDS
        wanting = self._outboxes.wanting_rows(MAX_KEYS)
        found = await self._store.turns(epochs, wanting, limit=ROWS_OF_KEY) if wanting else ()
        sent = self._send(due)
        # What was in this process when Postgres was asked may have been acknowledged since.
        here = set(held)
        more = self._send([delivery for delivery in found if delivery.pair not in here])
        is_all = sent == len(due) < room
        self._more = more > 0 or (sent >= WORTH and not is_all)
        return sent + more

    def _send(self, rows: Sequence[Delivery]) -> int:
        sent = 0
        for delivery in rows:
            owned = self._partitions.current(delivery.position.partition)
            if owned is None or not owned.active or owned.epoch != delivery.epoch:
                continue
            subscription = self._subscriptions.get(delivery.subscription_id)
            if subscription is None or subscription.status is not Status.ACTIVE:
                continue
            if self._outboxes.rows_wanted(subscription.id) <= 0:
                continue  # there were more of its rows than it can take now
            if delivery.order is not None and _is_ahead(owned, delivery):
                continue  # what comes before it in its key may still have to be read
            if self._parking.holds(delivery) or not self._outboxes.may_fetch(delivery):
                continue  # an answer came while Postgres was being asked; or it isn't its turn
            if delivery.skip:
                self._parking.take(delivery)
                self._parking.bury(delivery, None, SKIPPED)
                continue
            if subscription.max_age_seconds and self._expiry.is_over(delivery, subscription):
                continue
            fetched = self._latest.fetch(delivery, subscription)
            if fetched is None:
                continue  # not beside another position of its vehicle
            self._parking.take(fetched)
            self._outboxes.deliver(fetched, subscription)
            sent += 1
        return sent


def _is_ahead(owned: Owned, delivery: Delivery) -> bool:
    """Tell whether neither feed nor lane has reached *delivery* yet: its row is a previous owner's."""
    lane = owned.lane_of(delivery)
    if lane is not None:
        return delivery.position.offset >= lane.position
    return delivery.position.offset >= owned.tracker.matched_to
