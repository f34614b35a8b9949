"""Who waits for a time, by when that is: thousands wait for their next probe. Pure."""

from collections.abc import Iterator
from heapq import heappop, heappush

from services.kernel.ids import SubscriptionId

SLOTS_A_SECOND = 10
"""They are kept by tenths of a second: a thousand that wait for the same one cost a thousand entries in a
dictionary, and no comparing."""


class Held:
    """Subscriptions and when to look at each again, monotonic seconds; each stands there once.

    It may be looked at up to a tenth of a second early. Who is held for longer than it is noted for is
    looked at in vain, and noted again: a rate limit moves with each request.
    """

    def __init__(self) -> None:
        self._slot_of: dict[SubscriptionId, int] = {}
        self._slots: dict[int, dict[SubscriptionId, None]] = {}
        self._next: list[int] = []
        """A heap of the slots."""

    def __iter__(self) -> Iterator[SubscriptionId]:
        """Yield all of them, in no order to rely on."""
        return iter(self._slot_of)

    def hold(self, id_: SubscriptionId, until: float) -> None:
        """Note to look at a subscription then, or earlier where that is noted."""
        slot = int(until * SLOTS_A_SECOND)
        before = self._slot_of.get(id_)
        if before is not None:
            if slot >= before:
                return
            del self._slots[before][id_]
        self._slot_of[id_] = slot
        held = self._slots.get(slot)
        if held is None:
            held = self._slots[slot] = {}
            heappush(self._next, slot)
        held[id_] = None

    def drop(self, id_: SubscriptionId) -> None:
        """Forget a subscription."""
        slot = self._slot_of.pop(id_, None)
        if slot is not None:
            del self._slots[slot][id_]

    def is_due(self, now: float) -> bool:
        """Tell whether `take_due` may return any."""
        return bool(self._next) and self._next[0] <= now * SLOTS_A_SECOND

    def take_due(self, now: float) -> list[SubscriptionId]:
        """Take out those whose time has come, in order of it."""
        due: list[SubscriptionId] = []
        while self.is_due(now):
            for id_ in self._slots.pop(heappop(self._next)):
                del self._slot_of[id_]
                due.append(id_)
        return due
