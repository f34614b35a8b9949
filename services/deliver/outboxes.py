"""All outboxes of a worker: what waits for each receiver, and who goes next.

    deliver ──▶ queue of its outbox ──▶ ring of its project ──▶ ring of projects ──▶ a courier
                                                                                       │
    on_attempt ◀───────────────────────────────────────────────────────────── sender.deliver

A subscription has at most as many requests at once as its pace allows, and none while it asked us to
wait (`Retry-After`), while its rate is used up, or between the probes of an open breaker: see `outbox`.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.deliver.conditions import Conditions
from services.deliver.couriers import Couriers
from services.deliver.order import Order
from services.deliver.outbox import MAX_ENTRIES, Outbox, Queued
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.condition import Trouble
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.network import Sender
from services.kernel.ports.store.retries import KeyRow, LineKey
from services.kernel.subscription import Ordered, Subscription

TICK_SECONDS = 0.1
LOOK_SECONDS = 0.25
SLEPT_SECONDS = 2.0
"""A process whose clock jumps so far between two ticks was suspended, or its machine was."""


class Outboxes(Conditions):
    """All outboxes of a worker.

    *on_trouble* is called synchronously, once per spell, when a subscription can't keep up. *may_begin*
    tells whether a request of so many seconds would end while its partition is certainly still ours; with
    0 seconds, whether the group still counts on us. No ordered request takes longer than
    *ordered_seconds*. *barrier* is the offset at and above which nothing of a key may go out yet.
    """

    def __init__(
        self,
        *,
        sender: Sender,
        on_attempt: Callable[[Delivery, Attempt], None],
        on_trouble: Callable[[SubscriptionId, Trouble], None] = lambda _, __: None,
        clock: Clock,
        chance: Callable[[], float],
        may_begin: Callable[[float], bool] = lambda _: True,
        ordered_seconds: float = math.inf,
        barrier: Callable[[LineKey], float] = lambda _: math.inf,
        max_in_flight: int,
        max_in_flight_per_subscription: int,
    ) -> None:
        super().__init__(clock=clock)
        self._sender = sender
        self._on_attempt = on_attempt
        self._on_trouble = on_trouble
        self._chance = chance
        self._may_begin = may_begin
        self._ordered_seconds = ordered_seconds
        self._order = Order(barrier=barrier)
        self._share = 1.0
        self._per_subscription = max_in_flight_per_subscription
        self._couriers = Couriers(next_=self._next_outbox, send=self._send, most=max_in_flight)
        self._troubled: dict[SubscriptionId, None] = {}
        self._ticked_at = math.inf
        """When `run` last came by."""
        self._slept = False
        """This process was suspended, and the group may have given away its partitions meanwhile."""

    # The caller's side: nothing awaits.

    def deliver(self, delivery: Delivery, subscription: Subscription) -> None:
        """Put *delivery* in line. The caller bounds how much is in line."""
        now = self._clock.monotonic()
        outbox = self._outboxes.get(subscription.id)
        if outbox is None:
            ceiling = self._ceiling(subscription)
            limited = self._limited(subscription)
            outbox = Outbox(limited, ceiling=ceiling, share=self._share, now=now)
            self._outboxes[subscription.id] = outbox
        entered = outbox.enter(delivery, now)
        load = entered.load
        if delivery.order is None:
            outbox.queue.append(entered)
            self._enter(outbox, now)
        else:
            self._release(self._order.put(entered), outbox, now)
        if load.entries >= MAX_ENTRIES and Trouble.FULL not in outbox.troubles:
            self._look_at(outbox, now, oldest_flying=now)

    def update(self, subscription: Subscription) -> None:
        """Take over a change; it holds for what is in line already."""
        outbox = self._outboxes.get(subscription.id)
        if outbox is not None:
            self._change(outbox, subscription)

    def set_share(self, share: float) -> None:
        """Take over which part of all partitions is ours: of a rate limit we have as much."""
        if share == self._share:
            return
        self._share = share
        for outbox in self._outboxes.values():
            if outbox.subscription.rate_limit is not None:
                self._change(outbox, outbox.subscription)

    def _change(self, outbox: Outbox, subscription: Subscription) -> None:
        now = self._clock.monotonic()
        ceiling = self._ceiling(subscription)
        outbox.change(self._limited(subscription), ceiling=ceiling, share=self._share, now=now)
        self._keep_waking(outbox, now)
        self._enter(outbox, now)

    def forget(self, id_: SubscriptionId) -> list[Delivery]:
        """Drop the outbox; return what was in line. What is in flight goes on."""
        outbox = self._outboxes.pop(id_, None)
        self._held.drop(id_)
        self._broken.drop(id_)
        self._troubled.pop(id_, None)
        return [] if outbox is None else self._take_out(outbox, lambda _: True)

    def forget_keys(self, id_: SubscriptionId) -> None:
        """Forget which keys of a deleted subscription are held."""
        self._order.forget(id_)

    def withdraw(self, partition: Partition) -> list[Delivery]:
        """Take back what is in line of *partition*, which isn't ours any more."""
        taken = self._take_back(lambda queued: queued.delivery.position.partition == partition)
        for outbox in self._outboxes.values():
            outbox.forget(partition)
        self._order.drop(partition)
        return taken

    def released(self, partition: Partition) -> None:
        """Forget the keys of a partition that was let go of: what was written down last named some."""
        self._order.drop(partition)

    def withdraw_from(self, id_: SubscriptionId, partition: Partition) -> list[Delivery]:
        """Take back what is in line for one subscription of *partition*."""
        outbox = self._outboxes.get(id_)
        if outbox is None:
            return []
        taken = self._take_out(
            outbox, lambda queued: queued.delivery.position.partition == partition
        )
        for delivery in taken:
            self.through(delivery)
        return taken

    # Order by key: what is held, what is through, what has to be fetched.

    def load_keys(self, partition: Partition, epoch: int, rows: Sequence[KeyRow]) -> None:
        """Hold the keys of the rows that a partition came with."""
        self._order.load(partition, epoch, rows)

    def through(self, delivery: Delivery) -> None:
        """Take in that *delivery* is acknowledged or given up: the next of its key may go out."""
        if delivery.order is None:
            return
        outbox = self._outboxes.get(delivery.subscription_id)
        self._release(self._order.end(delivery), outbox, self._clock.monotonic())

    def _release(self, freed: Queued | None, outbox: Outbox | None, now: float) -> None:
        if freed is not None and outbox is not None:
            outbox.queue.append(freed)
            self._enter(outbox, now)

    def waits_as_row(self, delivery: Delivery) -> None:
        """Take in that *delivery* becomes a row that comes back when it is its turn."""
        self._order.leave(delivery)

    def may_fetch(self, delivery: Delivery) -> bool:
        """Tell whether a row may come back now: not past one of its key that is a row itself."""
        return delivery.order is None or self._order.may_fetch(delivery)

    def wanting_rows(self, limit: int) -> list[LineKey]:
        """Return up to *limit* keys whose next event is a row that waits for nothing else."""
        return self._order.wanting_rows(
            limit, wanted=lambda line: self.rows_wanted(line.subscription_id) > 0
        )

    # The receivers' side.

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._couriers.start(group)
            self._ticked_at = self._clock.monotonic()
            for _ in self._rings:
                self._couriers.call()
            look_at = self._clock.monotonic() + LOOK_SECONDS
            while True:
                await self._clock.sleep(TICK_SECONDS)
                now = self._clock.monotonic()
                self._wake_up(now)
                self._release_held(now)
                for freed in self._order.pass_barriers():
                    self._release(freed, self._outboxes.get(freed.delivery.subscription_id), now)
                if now >= look_at:
                    self._look(now)
                    look_at = now + LOOK_SECONDS - TICK_SECONDS

    async def _send(self, number: int, outbox: Outbox) -> None:
        """Make one request of *outbox*, as courier *number*."""
        now = self._clock.monotonic()
        delivery, since, _ = outbox.take()
        flying = self._flying[number] = outbox.began(number, delivery, now)
        if delivery.order is not None:
            self._order.began(delivery)
        self._keep_waking(outbox, now)
        self._enter(outbox, now)
        try:
            attempt = await self._sender.deliver(delivery, outbox.subscription, waited=now - since)
        finally:
            del self._flying[number], outbox.flying[number]
        now = self._clock.monotonic()
        outbox.landed(flying, attempt, now=now, chance=self._chance)
        if delivery.order is not None:
            self._release(self._order.landed(delivery), outbox, now)
        self._keep_waking(outbox, now)
        if outbox.troubles:
            self._troubled[outbox.subscription.id] = None
        if outbox.is_broken and Trouble.BREAKER_OPEN not in outbox.troubles:
            self._look_at(outbox, now, oldest_flying=now)
        self._on_attempt(delivery, attempt)
        self._line_up(outbox, now)  # this courier is free: nobody needs to be woken for it

    def _next_outbox(self) -> Outbox | None:
        """Take the outbox whose turn it is out of its ring."""
        now = self._clock.monotonic()
        if self._is_replaced(now):
            return None
        while (outbox := self._rings.next()) is not None:
            if outbox.is_ready(now) and (not outbox.is_ordered or self._is_ours(outbox, now)):
                return outbox
        return None

    def _is_replaced(self, now: float) -> bool:
        """Tell whether this process was stopped for so long that another may have its partitions.

        What is in line then waits until the group has answered, or has taken it away. Not while Kafka
        is gone and we are not: then nobody else hears of the group either.
        """
        if now - self._ticked_at >= SLEPT_SECONDS:
            self._slept = True
        return self._slept and not self._may_begin(0.0)

    def _wake_up(self, now: float) -> None:
        """Go on where the group still knows us."""
        replaced, self._ticked_at = self._is_replaced(now), now
        if self._slept and not replaced:
            self._slept = False
            for _ in self._rings:
                self._couriers.call()

    def _is_ours(self, outbox: Outbox, now: float) -> bool:
        """Tell whether a request would end while nobody else can own its partition."""
        subscription = outbox.subscription
        if self._may_begin(subscription.timeout_seconds):
            return True
        outbox.held_until = now + LOOK_SECONDS
        self._keep_waking(outbox, now)
        return False

    def _limited(self, subscription: Subscription) -> Subscription:
        if (
            subscription.ordered is Ordered.NONE
            or subscription.timeout_seconds <= self._ordered_seconds
        ):
            return subscription
        return replace(subscription, timeout_seconds=self._ordered_seconds)

    def _enter(self, outbox: Outbox, now: float) -> None:
        """Put *outbox* at the end of its ring if it could send, and see that somebody does."""
        if self._line_up(outbox, now):
            self._couriers.call()

    def _line_up(self, outbox: Outbox, now: float) -> bool:
        """Put *outbox* at the end of its ring if it could send; tell whether it was put there."""
        if outbox.in_ring or not outbox.is_ready(now):
            return False
        self._rings.enter(outbox)
        return True

    def _release_held(self, now: float) -> None:
        for held in (self._held, self._broken):
            for id_ in held.take_due(now):
                outbox = self._outboxes[id_]
                self._keep_waking(outbox, now)
                self._enter(outbox, now)

    def _keep_waking(self, outbox: Outbox, now: float) -> None:
        if outbox.held_until > now and outbox.subscription.id in self._outboxes:
            held = self._broken if outbox.is_broken else self._held
            held.hold(outbox.subscription.id, outbox.held_until)

    # Trouble: looked for where something waits or flies, which costs nothing per idle subscription.

    def _look(self, now: float) -> None:
        oldest: dict[SubscriptionId, float] = {}
        for flying in self._flying.values():
            id_ = flying.delivery.subscription_id
            if flying.since < oldest.get(id_, math.inf):
                oldest[id_] = flying.since
        for id_ in dict.fromkeys((*oldest, *self._held, *self._troubled)):
            outbox = self._outboxes.get(id_)
            # Of an open breaker is told already, and there is nothing new to see until an answer comes.
            if outbox is None or (outbox.is_broken and Trouble.BREAKER_OPEN in outbox.troubles):
                self._troubled.pop(id_, None)
            else:
                self._look_at(outbox, now, oldest_flying=oldest.get(id_, now))

    def _look_at(self, outbox: Outbox, now: float, *, oldest_flying: float) -> None:
        """Tell of what has become wrong. Last in line: whoever hears of it may take back all."""
        found = outbox.trouble(now, oldest_flying=oldest_flying)
        new = found - outbox.troubles
        outbox.troubles = found
        if not found:
            outbox.reason = None
            self._troubled.pop(outbox.subscription.id, None)
            return
        self._troubled[outbox.subscription.id] = None
        for trouble in sorted(new):
            if outbox.reason is None:
                outbox.reason = trouble
            self._on_trouble(outbox.subscription.id, trouble)

    def _take_back(self, wanted: Callable[[Queued], bool]) -> list[Delivery]:
        taken = [
            delivery
            for outbox in self._outboxes.values()
            if outbox.queue
            for delivery in outbox.take_back(wanted)
        ]
        return self._with_order(None, taken, wanted)

    def _take_out(self, outbox: Outbox, wanted: Callable[[Queued], bool]) -> list[Delivery]:
        taken = outbox.take_back(wanted)
        return self._with_order(outbox.subscription.id, taken, wanted)

    def _with_order(
        self,
        id_: SubscriptionId | None,
        taken: list[Delivery],
        wanted: Callable[[Queued], bool],
    ) -> list[Delivery]:
        """Add what waits behind others of its key to what was *taken* from those in line.

        If it has its row already, or will have, that is fetched when its turn comes.
        """
        for delivery in taken:
            if delivery.order is not None:
                self._order.left(delivery)
                self._order.leave(delivery)
        if len(self._order):
            for queued in self._order.take_back(id_, wanted):
                queued.load.leave(queued.delivery)
                self._order.leave(queued.delivery)
                taken.append(queued.delivery)
        return taken

    def _ceiling(self, subscription: Subscription) -> int:
        return min(subscription.max_in_flight or self._per_subscription, self._per_subscription)
