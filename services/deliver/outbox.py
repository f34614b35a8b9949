"""One outbox: what waits for one subscription, and how fast that may go. No task, no I/O.

A sender asks `is_ready`, calls `take` and `began`, and then `landed` with the answer; everything about
the pace follows from these. Pace, breaker, rate limit and `Retry-After` meet in two numbers, `limit` and
`held_until`, which are updated on every change because every request asks for them.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from services.deliver.answers import Answers
from services.deliver.breaker import Breaker
from services.deliver.pacing import Pace, RateLimit
from services.kernel.attempt import Attempt, Outcome
from services.kernel.condition import BreakerState, Trouble
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.subscription import Ordered, Subscription

MAX_ENTRIES = 256
MAX_BYTES = 4 << 20
"""Bounds of what waits per partition; `max_in_flight` bounds what is in flight."""
BUSY_QUEUE = 100
"""With this many in line no rows are fetched: they can just as well wait in Postgres."""
FULL_SECONDS = 1.5
"""An outbox that is full for a moment can keep up: one poll brings more than fits. Nor is it trouble
while concurrency still doubles, as at the start with a backlog."""
SLOW_SECONDS = 1.0
WAITED_SECONDS = 4.75
"""Checked four times a second, so that it is reported within 5 s."""
LATELY_SECONDS = 1.0
SOON_SECONDS = 0.1
"""What waits no longer than this is as good as sent: couriers are woken this often."""
TOO_MANY = (429, 503)
UNREACHED = frozenset({Outcome.CONNECT, Outcome.DNS, Outcome.TLS})


class Load:
    """What waits of one partition."""

    __slots__ = ("bytes", "entries")

    def __init__(self) -> None:
        self.entries = 0
        self.bytes = 0

    def leave(self, delivery: Delivery) -> None:
        """Count *delivery* out."""
        self.entries -= 1
        self.bytes -= len(delivery.body)

    @property
    def is_full(self) -> bool:
        """Whether as much waits as is allowed."""
        return self.entries >= MAX_ENTRIES or self.bytes >= MAX_BYTES


class Queued(NamedTuple):
    """A delivery that waits for its turn."""

    delivery: Delivery
    since: float
    """Monotonic seconds."""
    load: Load


class Flying(NamedTuple):
    """A delivery that is being sent."""

    delivery: Delivery
    since: float
    """Monotonic seconds."""
    opened: int
    """How often the breaker had opened when it was sent."""


class Outbox:
    """What waits for one subscription, and how fast it may go."""

    __slots__ = (
        "_answers", "_breaker", "_full_at", "_loads", "_pace", "_rate", "_retry_after", "_stale",
        "accepted_at", "answered_at", "flying", "held_until", "in_ring", "is_ordered", "limit", "queue",
        "reason", "subscription", "troubles",
    )  # fmt: skip

    def __init__(
        self, subscription: Subscription, *, ceiling: int, share: float, now: float
    ) -> None:
        self.subscription = subscription
        self.is_ordered = subscription.ordered is Ordered.KEY
        self.queue: deque[Queued] = deque()
        self.flying: dict[int, Flying] = {}
        """What is being sent, by the number of its courier."""
        self.limit = 0
        """How many requests may be in flight at present."""
        self.held_until = 0.0
        """No request begins before this time, monotonic seconds."""
        self.in_ring = False
        self.answered_at = now
        """When the receiver last answered, monotonic seconds."""
        self.accepted_at = now
        """When it last acknowledged a delivery."""
        self.troubles: set[Trouble] = set()
        """What is wrong at present."""
        self.reason: Trouble | None = None
        """The trouble that came first."""
        self._pace = Pace(ceiling)
        self._breaker = Breaker(now)
        self._answers = Answers()
        self._loads: dict[Partition, Load] = {}
        self._rate: RateLimit | None = None
        self._retry_after = 0.0
        self._full_at = -math.inf  # when it last had as many requests under way as it may
        self._stale = 0  # in flight since before the breaker opened
        self._set_rate(subscription, share, now)
        self._set_limit()

    # What waits.

    def enter(self, delivery: Delivery, now: float) -> Queued:
        """Count *delivery* in; the caller puts it in line, or behind what comes before it."""
        load = self._load(delivery.position.partition)
        load.entries += 1
        load.bytes += len(delivery.body)
        return Queued(delivery, now, load)

    def take(self) -> Queued:
        """Take the first in line."""
        first = self.queue.popleft()
        first.load.leave(first.delivery)
        return first

    def take_back(self, wanted: Callable[[Queued], bool]) -> list[Delivery]:
        """Take what is *wanted* out of the line."""
        kept: list[Queued] = []
        taken: list[Delivery] = []
        for queued in self.queue:
            if wanted(queued):
                taken.append(queued.delivery)
                queued.load.leave(queued.delivery)
            else:
                kept.append(queued)
        if taken:
            self.queue = deque(kept)
        return taken

    def forget(self, partition: Partition) -> None:
        """Forget a partition that isn't ours any more, and of which nothing waits."""
        self._loads.pop(partition, None)

    @property
    def is_full(self) -> bool:
        """Whether as much as may wait of some partition does."""
        return any(load.is_full for load in self._loads.values())

    # How fast.

    @property
    def in_flight(self) -> int:
        """Requests that have begun and not ended."""
        return len(self.flying)

    @property
    def probes(self) -> int:
        """Deliveries in line, and those under way that come back in line if they fail as probes."""
        return len(self.queue) + len(self.flying) - self._stale

    def is_ready(self, now: float) -> bool:
        """Tell whether a request could begin."""
        return bool(self.queue) and not self._is_held(now)

    def _is_held(self, now: float) -> bool:
        """Tell whether the receiver's own pace is what its deliveries wait for."""
        return len(self.flying) >= self.limit or self.held_until > now

    def began(self, courier: int, delivery: Delivery, now: float) -> Flying:
        """Note that a request begins."""
        if self._rate is not None:
            self.held_until = max(self.held_until, self._rate.take(now))
        flying = self.flying[courier] = Flying(delivery, now, self._breaker.opened)
        if len(self.flying) >= self.limit:
            self._full_at = now
        return flying

    def landed(
        self, flying: Flying, attempt: Attempt, *, now: float, chance: Callable[[], float]
    ) -> None:
        """Note how it ended; the caller has taken it out of `flying`."""
        ok = attempt.outcome is Outcome.OK
        self._answers.add(ok=ok, seconds=attempt.seconds, now=now)
        if attempt.retry_after is not None:
            self._retry_after = max(self._retry_after, now + attempt.retry_after)
            self._hold()
        if flying.opened != self._breaker.opened:
            self._stale -= 1
            self._set_limit()
            return
        if ok:
            self.answered_at = self.accepted_at = now
            self._breaker.succeeded(now)
            self._pace.succeeded(attempt.seconds, now)
            if self._stale or self._pace.limit != self.limit:
                self._set_limit()
            return
        if attempt.outcome is not Outcome.TIMEOUT:
            self.answered_at = now
        self._failed(flying, attempt, now, chance())

    def rows_wanted(self, now: float) -> int:
        """Return how many more may be put in line that wait elsewhere just as well."""
        if self._breaker.state is BreakerState.OPEN:  # a probe needs one
            return 0 if self.queue or self.held_until > now else 1
        rate = self._rate
        return 0 if self.held_until > now and rate is None else BUSY_QUEUE - len(self.queue)

    def has_room(self, now: float) -> bool:
        """Tell whether one more in line would be sent about now."""
        if self.held_until > now + SOON_SECONDS:
            return False
        room: float = self.limit - len(self.flying)
        if self._rate is not None:
            room = min(room, max(1.0, self._rate.rate * SOON_SECONDS))
        return len(self.queue) < room

    @property
    def is_broken(self) -> bool:
        """Whether probes alone are sent."""
        return self._breaker.state is BreakerState.OPEN

    def change(self, subscription: Subscription, *, ceiling: int, share: float, now: float) -> None:
        """Take over a change of the subscription, or of our share of its rate."""
        self.subscription = subscription
        self.is_ordered = subscription.ordered is Ordered.KEY
        self._pace.ceiling = ceiling
        self._set_rate(subscription, share, now)
        self._set_limit()

    # How it is doing.

    def trouble(self, now: float, *, oldest_flying: float) -> set[Trouble]:
        """Return what is wrong now. *oldest_flying*: since when the oldest request is in flight."""
        found = set()
        # Who could be sent to and only waits for its turn is no trouble: then we are the slow ones.
        is_held = self._is_held(now) or now - self._full_at < LATELY_SECONDS
        waits = now - self.queue[0].since if self.queue and is_held else 0.0
        # It is not enough that one request takes long: the others must not have been answered.
        unanswered = now - max(oldest_flying, self.answered_at)
        if self._breaker.state is not BreakerState.CLOSED:
            found.add(Trouble.BREAKER_OPEN)
        if max(waits, unanswered) >= WAITED_SECONDS:
            found.add(Trouble.WAITED)
        if waits >= FULL_SECONDS and self.is_full and not self.is_growing(now):
            found.add(Trouble.FULL)
        if (self.median_seconds or 0.0) > SLOW_SECONDS:
            found.add(Trouble.SLOW)
        if self._rate is not None and len(self.queue) > self._rate.rate * WAITED_SECONDS:
            found.add(Trouble.RATE)
        return found

    def takes_nothing(self, since: float) -> bool:
        """Tell whether deliveries wait and none was acknowledged from *since* on (monotonic).

        Not of one that only waits for its turn among very many: it was asked, and said no or nothing.
        """
        if not self.queue or self.accepted_at > since:
            return False
        return self.answered_at > self.accepted_at or any(
            flying.since <= since for flying in self.flying.values()
        )

    def is_growing(self, now: float) -> bool:
        """Tell whether its concurrency doubled just now: how much it takes isn't known yet."""
        return now - self._pace.doubled_at < FULL_SECONDS

    @property
    def breaker(self) -> tuple[BreakerState, float]:
        """The breaker's state, and since when (monotonic)."""
        return self._breaker.state, self._breaker.since

    @property
    def median_seconds(self) -> float | None:
        """The median of the last answers."""
        return self._answers.median

    def success_share(self, now: float) -> float | None:
        """Return the share of successes in the last 30 s."""
        return self._answers.success_share(now)

    def _failed(self, flying: Flying, attempt: Attempt, now: float, chance: float) -> None:
        if attempt.outcome is Outcome.TIMEOUT or attempt.status in TOO_MANY:
            self._pace.slowed(began=flying.since, now=now)
        opened = self._breaker.opened
        self._breaker.failed(now, unreached=attempt.outcome in UNREACHED, chance=chance)
        if self._breaker.opened != opened:
            self._stale = self.in_flight
            self._pace.restart()
        self._hold()
        self._set_limit()

    def _hold(self) -> None:
        if self._breaker.state is BreakerState.OPEN:
            self.held_until = max(self._retry_after, self._breaker.probe_at)
        else:
            self.held_until = max(self._retry_after, self.held_until)

    def _set_limit(self) -> None:
        allowed = 1 if self._breaker.state is BreakerState.OPEN else self._pace.limit
        # Those that are left from before it opened count for the ceiling alone.
        self.limit = min(self._pace.ceiling, allowed + self._stale)

    def _set_rate(self, subscription: Subscription, share: float, now: float) -> None:
        rate = subscription.rate_limit
        if rate is None:
            self._rate = None
        elif self._rate is None:
            self._rate = RateLimit(rate * share, now)
        else:
            self.held_until = max(
                self._retry_after, self._breaker.probe_at, self._rate.change(rate * share, now)
            )

    def _load(self, partition: Partition) -> Load:
        load = self._loads.get(partition)
        if load is None:
            load = self._loads[partition] = Load()
        return load

    def __repr__(self) -> str:
        return (
            f"<Outbox {self.subscription.id} {self.in_flight} of {self.limit} in flight"
            f" | {len(self.queue)} queued | {self._breaker!r} {self._pace!r}>"
        )
