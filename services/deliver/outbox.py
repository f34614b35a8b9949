"""Outboxes: what waits for each receiver, and whose turn it is.

Turns are fair, first between projects, then between a project's subscriptions. A subscription has at
most its limit of requests at once, and none while it asked us to wait (`Retry-After`).

    deliver ──▶ queue of its outbox ──▶ ring of its project ──▶ ring of projects ──▶ a courier
                                                                                       │
    on_attempt ◀───────────────────────────────────────────────────────────── sender.deliver

A courier is a task that makes one request after the other. There are as many as requests at once,
started on demand; one with nothing to do waits on a stack, the last in is the first out.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.network import Sender
from services.kernel.subscription import Subscription

TICK_SECONDS = 0.1
BUSY_QUEUE = 100


class Queued(NamedTuple):
    """A delivery that waits for its turn."""

    delivery: Delivery
    since: float
    """Monotonic seconds."""


class Outbox:
    """What waits for one subscription."""

    __slots__ = ("held_until", "in_flight", "in_ring", "limit", "queue", "subscription")

    def __init__(self, subscription: Subscription, limit: int) -> None:
        self.subscription = subscription
        self.limit = limit
        self.queue: deque[Queued] = deque()
        self.in_flight = 0
        self.held_until = 0.0
        self.in_ring = False

    def is_ready(self, now: float) -> bool:
        """Tell whether a request could begin."""
        return bool(self.queue) and self.in_flight < self.limit and self.held_until <= now

    def __repr__(self) -> str:
        return (
            f"<Outbox {self.subscription.id} {self.in_flight} in flight | {len(self.queue)} queued>"
        )


class Outboxes:
    """All outboxes of a worker."""

    def __init__(
        self,
        *,
        sender: Sender,
        on_attempt: Callable[[Delivery, Attempt], None],
        clock: Clock,
        max_in_flight: int,
        max_in_flight_per_subscription: int,
    ) -> None:
        self._sender = sender
        self._on_attempt = on_attempt
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._per_subscription = max_in_flight_per_subscription
        self._outboxes: dict[SubscriptionId, Outbox] = {}
        self._rings: dict[str, deque[Outbox]] = {}
        self._projects: deque[str] = deque()
        self._held: set[SubscriptionId] = set()
        self._flying: dict[int, Queued] = {}
        self._idle: list[asyncio.Future[None]] = []
        self._couriers = 0
        self._group: asyncio.TaskGroup | None = None

    # The caller's side: nothing awaits.

    def deliver(self, delivery: Delivery, subscription: Subscription) -> None:
        """Put *delivery* in line. The caller bounds how much is in line."""
        outbox = self._outboxes.get(subscription.id)
        if outbox is None:
            outbox = Outbox(subscription, self._limit(subscription))
            self._outboxes[subscription.id] = outbox
        outbox.queue.append(Queued(delivery, self._clock.monotonic()))
        self._enter(outbox)

    def update(self, subscription: Subscription) -> None:
        """Take over a change; it holds for what is in line already."""
        outbox = self._outboxes.get(subscription.id)
        if outbox is not None:
            outbox.subscription = subscription
            outbox.limit = self._limit(subscription)
            self._enter(outbox)

    def forget(self, id_: SubscriptionId) -> list[Delivery]:
        """Drop the outbox; return what was in line. What is in flight goes on."""
        outbox = self._outboxes.pop(id_, None)
        self._held.discard(id_)
        if outbox is None:
            return []
        dropped = [queued.delivery for queued in outbox.queue]
        outbox.queue.clear()
        return dropped

    def withdraw(self, partition: Partition) -> list[Delivery]:
        """Take back what is in line of *partition*."""
        return self._take_back(lambda queued: queued.delivery.position.partition == partition)

    def withdraw_waiting(self, seconds: float, accept: Callable[[Delivery], bool]) -> None:
        """Take back what has waited for *seconds* and is accepted elsewhere."""
        since = self._clock.monotonic() - seconds
        self._take_back(lambda queued: queued.since <= since and accept(queued.delivery))

    def in_flight(self, partition: Partition) -> list[Delivery]:
        """Return what is being sent of *partition*."""
        return [
            queued.delivery
            for queued in self._flying.values()
            if queued.delivery.position.partition == partition
        ]

    def in_flight_for(self, seconds: float) -> list[Delivery]:
        """Return what has been in flight for *seconds*."""
        since = self._clock.monotonic() - seconds
        return [queued.delivery for queued in self._flying.values() if queued.since <= since]

    def busy(self) -> Iterator[SubscriptionId]:
        """Yield subscriptions for which nothing more should be fetched now."""
        for id_, outbox in self._outboxes.items():
            if len(outbox.queue) >= BUSY_QUEUE or id_ in self._held:
                yield id_

    @property
    def counts(self) -> tuple[int, int]:
        """Deliveries in line and in flight."""
        queued = sum(len(outbox.queue) for outbox in self._outboxes.values())
        return queued, len(self._flying)

    # The receivers' side.

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for project in list(self._projects):
                for _ in self._rings[project]:
                    self._call_courier()
            while True:
                await self._clock.sleep(TICK_SECONDS)
                self._release_held()

    async def _courier(self, number: int) -> None:
        while True:
            outbox = self._next_outbox()
            if outbox is None:
                waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._idle.append(waiting)
                await waiting
                continue
            delivery = outbox.queue.popleft().delivery
            outbox.in_flight += 1
            self._enter(outbox)
            self._flying[number] = Queued(delivery, self._clock.monotonic())
            try:
                attempt = await self._sender.deliver(delivery, outbox.subscription)
            finally:
                del self._flying[number]
                outbox.in_flight -= 1
            if attempt.retry_after is not None:
                self._hold(outbox, attempt.retry_after)
            self._on_attempt(delivery, attempt)
            self._line_up(outbox)  # this courier is free: nobody needs to be woken for it

    def _next_outbox(self) -> Outbox | None:
        """Take the outbox whose turn it is out of its ring."""
        now = self._clock.monotonic()
        while self._projects:
            project = self._projects.popleft()
            ring = self._rings[project]
            outbox = ring.popleft()
            outbox.in_ring = False
            if ring:
                self._projects.append(project)
            else:
                del self._rings[project]
            if outbox.is_ready(now):
                return outbox
        return None

    def _enter(self, outbox: Outbox) -> None:
        """Put *outbox* at the end of its ring if it could send, and see that somebody does."""
        if self._line_up(outbox):
            self._call_courier()

    def _line_up(self, outbox: Outbox) -> bool:
        """Put *outbox* at the end of its ring if it could send; tell whether it now stands there."""
        if outbox.in_ring or not outbox.is_ready(self._clock.monotonic()):
            return False
        outbox.in_ring = True
        ring = self._rings.get(outbox.subscription.project_id)
        if ring is None:
            self._rings[outbox.subscription.project_id] = deque([outbox])
            self._projects.append(outbox.subscription.project_id)
        else:
            ring.append(outbox)
        return True

    def _call_courier(self) -> None:
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                return
        if self._group is not None and self._couriers < self._max_in_flight:
            self._couriers += 1
            self._group.create_task(self._courier(self._couriers))

    def _hold(self, outbox: Outbox, seconds: float) -> None:
        outbox.held_until = max(outbox.held_until, self._clock.monotonic() + seconds)
        self._held.add(outbox.subscription.id)

    def _release_held(self) -> None:
        now = self._clock.monotonic()
        for id_ in list(self._held):
            outbox = self._outboxes.get(id_)
            if outbox is None or outbox.held_until <= now:
                self._held.discard(id_)
                if outbox is not None:
                    self._enter(outbox)

    def _take_back(self, wanted: Callable[[Queued], bool]) -> list[Delivery]:
        taken: list[Delivery] = []
        for outbox in self._outboxes.values():
            if outbox.queue:
                taken += _split(outbox, wanted)
        return taken

    def _limit(self, subscription: Subscription) -> int:
        return min(subscription.max_in_flight or self._per_subscription, self._per_subscription)


def _split(outbox: Outbox, wanted: Callable[[Queued], bool]) -> Iterable[Delivery]:
    kept: list[Queued] = []
    taken: list[Delivery] = []
    for queued in outbox.queue:
        if wanted(queued):
            taken.append(queued.delivery)
        else:
            kept.append(queued)
    if taken:
        outbox.queue = deque(kept)
    return taken
