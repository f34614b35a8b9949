"""Which clauses say no: some events are explained to the filters that they don't match.

To explain one miss takes as long as to match an event to a thousand filters, 14 µs. So it is done for
a sample, for a millisecond at a time and at most a two-hundredth of the time. Of many filters some are
tried, the next ones with the next event.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from services.kernel.clock import Clock
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.counts import FILTER, Clause
from services.match.index import Refusal

STRETCH_SECONDS = 0.001
SHARE = 200
"""After a stretch nothing is explained for so many times as long."""
MAX_EVENT_BYTES = 16 * 1024
"""What is larger isn't looked into: a filter is tried on each element of an array."""
MAX_CLAUSES = 20_000
"""Between two reports, and while Postgres is gone; what goes beyond isn't looked into."""


class Refused(Protocol):
    """`Matcher.refused`."""

    def __call__(self, event: Event, *, turn: int) -> Iterable[Refusal]:
        """Yield whose filter says no to *event*."""


class Misses:
    """Counts by subscription and clause."""

    def __init__(self, *, refused: Refused, clock: Clock) -> None:
        self._refused = refused
        self._now: Callable[[], float] = clock.monotonic
        self._turn = 0
        self._rests_until = float("-inf")
        self._counts: dict[Clause, int] = {}

    def look_into(self, event: Event) -> None:
        """Explain *event* to some of those who don't get it, if it is time for that."""
        began = self._now()
        if began < self._rests_until or event.size > MAX_EVENT_BYTES:
            return
        if len(self._counts) >= MAX_CLAUSES:
            return
        ended = began
        for refusal in self._refused(event, turn=self._turn):
            self._turn += 1
            if refusal.pointers:
                self._count(refusal.id, (FILTER, *refusal.pointers))
            ended = self._now()
            if ended - began > STRETCH_SECONDS:
                break
        self._rests_until = ended + (ended - began) * SHARE

    def take(self) -> Mapping[Clause, int]:
        """Return what was counted since."""
        counts, self._counts = self._counts, {}
        return counts

    def give_back(self, counts: Mapping[Clause, int]) -> None:
        """Keep what couldn't be written."""
        for clause, count in counts.items():
            self._counts[clause] = self._counts.get(clause, 0) + count

    def _count(self, id_: SubscriptionId, pointers: Iterable[str]) -> None:
        for pointer in pointers:
            clause = Clause(id_, pointer)
            self._counts[clause] = self._counts.get(clause, 0) + 1
