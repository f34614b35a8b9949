"""Who waits for a time, by when that is: thousands wait for their next probe. Pure."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from services.kernel.ids import SubscriptionId

SLACK = 1_000
"""What is over may stay in the heap until its time, which can be an hour away: no more than this, and as
much again as is held."""


class Held:
    """Subscriptions and when to look at each again, monotonic seconds; each stands there once.

    Who is held for longer than it is noted for is looked at in vain, and noted again: a rate limit moves
    with each request.
    """

    def __init__(self) -> None:
        self._at: dict[SubscriptionId, float] = {}
        self._heap: list[tuple[float, SubscriptionId]] = []
        """Those and some that were noted for an earlier time since, or dropped."""

    def __iter__(self) -> Iterator[SubscriptionId]:
        """Yield all of them, in no order to rely on."""
        return iter(self._at)

    def hold(self, id_: SubscriptionId, until: float) -> None:
        """Note to look at a subscription then, or earlier where that is noted."""
        at = self._at.get(id_)
        if at is None or until < at:
            self._at[id_] = until
            heappush(self._heap, (until, id_))
            if len(self._heap) > 2 * len(self._at) + SLACK:
                self._heap = [(until, id_) for id_, until in self._at.items()]
                heapify(self._heap)

    def drop(self, id_: SubscriptionId) -> None:
        """Forget a subscription."""
        self._at.pop(id_, None)

    def is_due(self, now: float) -> bool:
        """Tell whether `take_due` may return any."""
        return bool(self._heap) and self._heap[0][0] <= now

    def take_due(self, now: float) -> list[SubscriptionId]:
        """Take out those whose time has come, in order of it."""
        due = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, id_ = heappop(heap)
            if self._at.get(id_) == at:
                del self._at[id_]
                due.append(id_)
        return due
