"""How outboxes are doing: everything that can be asked of them. Nothing here changes anything."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import nlargest

from services.deliver.held import Held
from services.deliver.outbox import BUSY_QUEUE, Flying, Outbox
from services.deliver.rings import Rings
from services.kernel.clock import Clock
from services.kernel.condition import BreakerState, Condition
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId

PROBES = 2
"""Deliveries that have to wait while a breaker is open: a head, and another to try in its place."""


class Conditions:
    """All outboxes of a worker, to look at; `Outboxes` adds what moves them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._rings = Rings()
        self._outboxes: dict[SubscriptionId, Outbox] = {}
        self._held = Held()
        """Those that wait for a time: of their rate limit, or one that the receiver asked for."""
        self._broken = Held()
        """Those that wait for their next probe. There may be thousands, with nothing new to see."""
        self._flying: dict[int, Flying] = {}

    def in_flight(self, partition: Partition) -> list[Delivery]:
        """Return what is being sent of *partition*."""
        return [
            flying.delivery
            for flying in self._flying.values()
            if flying.delivery.position.partition == partition
        ]

    def in_flight_of(self, id_: SubscriptionId, partition: Partition) -> list[Delivery]:
        """Return what is being sent of *partition* to one subscription."""
        outbox = self._outboxes.get(id_)
        if outbox is None:
            return []
        flying = (flying.delivery for flying in outbox.flying.values())
        return [delivery for delivery in flying if delivery.position.partition == partition]

    @property
    def has_ordered_in_flight(self) -> bool:
        """Whether a request is under way that nothing of its key may overlap."""
        return any(flying.delivery.order is not None for flying in self._flying.values())

    def in_flight_for(self, seconds: float) -> list[Delivery]:
        """Return what has been in flight for *seconds*."""
        since = self._clock.monotonic() - seconds
        return [flying.delivery for flying in self._flying.values() if flying.since <= since]

    def busy(self) -> Iterator[SubscriptionId]:
        """Yield subscriptions of which no due rows should be fetched now."""
        now = self._clock.monotonic()
        # A subscription that isn't held, in line or in flight can take as many as there are. There may
        # be a hundred thousand of those, and none of them is looked at.
        flying = (flying.delivery.subscription_id for flying in self._flying.values())
        in_line = (outbox.subscription.id for outbox in self._rings)
        for id_ in dict.fromkeys((*self._held, *self._broken, *in_line, *flying)):
            outbox = self._outboxes.get(id_)
            if outbox is not None and outbox.rows_wanted(now) <= 0:
                yield id_

    def rows_wanted(self, id_: SubscriptionId) -> int:
        """Return how many due rows of a subscription can be put in line now."""
        outbox = self._outboxes.get(id_)
        return BUSY_QUEUE if outbox is None else outbox.rows_wanted(self._clock.monotonic())

    def has_room(self, id_: SubscriptionId) -> bool:
        """Tell whether one more delivery would be sent about now, rather than wait where it is fixed."""
        outbox = self._outboxes.get(id_)
        return outbox is None or outbox.has_room(self._clock.monotonic())

    def rests_until(self, id_: SubscriptionId) -> float:
        """Return when a broken outbox with enough for its probes sends the next, monotonic; else 0.

        While a probe is under way, when it was due.
        """
        outbox = self._outboxes.get(id_)
        if outbox is None or not outbox.is_broken:
            return 0.0
        return outbox.held_until if outbox.probes >= PROBES else 0.0

    def is_probing(self, id_: SubscriptionId) -> bool:
        """Tell whether a subscription's breaker isn't closed."""
        outbox = self._outboxes.get(id_)
        return outbox is not None and outbox.breaker[0] is not BreakerState.CLOSED

    def condition(self, id_: SubscriptionId) -> Condition | None:
        """Return how a subscription's outbox is doing; None where it never had anything to send."""
        outbox = self._outboxes.get(id_)
        if outbox is None:
            return None
        now = self._clock.monotonic()
        since = [flying.since for flying in outbox.flying.values()]
        if outbox.queue:
            since.append(outbox.queue[0].since)
        breaker, breaker_since = outbox.breaker
        return Condition(
            breaker=breaker,
            since=self._moment(breaker_since, now),
            reason=outbox.reason,
            median_seconds=outbox.median_seconds,
            limit=outbox.limit,
            in_flight=outbox.in_flight,
            queued=len(outbox.queue),
            oldest_since=self._moment(min(since), now) if since else None,
            success_share=outbox.success_share(now),
        )

    def is_troubled(self, id_: SubscriptionId) -> bool:
        """Tell whether a subscription can't keep up just now."""
        outbox = self._outboxes.get(id_)
        return outbox is not None and bool(outbox.troubles)

    def stuck(self, seconds: float, *, most: int) -> list[SubscriptionId]:
        """Return who has acknowledged nothing for *seconds*, though asked; the longest lines first."""
        since = self._clock.monotonic() - seconds
        stuck = (outbox for outbox in self._outboxes.values() if outbox.takes_nothing(since))
        longest = nlargest(most, stuck, key=lambda outbox: len(outbox.queue))
        return [outbox.subscription.id for outbox in longest]

    def is_growing(self, id_: SubscriptionId) -> bool:
        """Tell whether a subscription's concurrency doubled just now."""
        outbox = self._outboxes.get(id_)
        return outbox is not None and outbox.is_growing(self._clock.monotonic())

    def open_for(self, id_: SubscriptionId) -> float:
        """Return for how many seconds the breaker of a subscription has been open; 0: it isn't."""
        outbox = self._outboxes.get(id_)
        if outbox is None:
            return 0.0
        state, since = outbox.breaker
        return self._clock.monotonic() - since if state is BreakerState.OPEN else 0.0

    def _moment(self, monotonic: float, now: float) -> datetime:
        return self._clock.now() - timedelta(seconds=now - monotonic)

    @property
    def counts(self) -> tuple[int, int]:
        """Deliveries in line and in flight."""
        queued = sum(len(outbox.queue) for outbox in self._outboxes.values())
        return queued, len(self._flying)
