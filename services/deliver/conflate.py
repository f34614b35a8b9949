"""The latest position of each vehicle, once in a while: what a newer one takes the place of. Pure.

For each key, a vehicle or a route, at most one position is out: handed to the outbox, or in flight. The
first goes at once, the next no earlier than `every` seconds after the one before began. Of what comes
meanwhile only the latest waits:

    add ──▶ waiting ──next──▶ out ──landed──▶ acknowledged, given up …
               │               │
               │ a newer one   └──park──▶ parked: a retry row
               ▼                             │ a newer one
           superseded ◀──────────────────────┘

The latest is the one with the latest time of its fix, then with the highest offset, since phones upload
late. A fix older than the last that went out is superseded as it arrives. `conflated` counts what a
position replaced since the last one that got through, so that nothing is unaccounted for.

If nothing is known of a vehicle, its next position simply goes at once.
"""

from collections.abc import Mapping
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import count
from typing import NamedTuple

from services.kernel.delivery import Delivery

MAX_KNOWN = 20_000
"""How many vehicles of a lane are remembered; beyond that, those silent for longest are forgotten."""


class Fix(NamedTuple):
    """What says which of two positions is the later one."""

    at: float
    """When it was taken, Unix seconds."""
    offset: int


class Over(NamedTuple):
    """What is superseded."""

    waiting: Delivery | None = None
    """Nobody was sent it."""
    parked: Delivery | None = None
    """It has a retry row, or is to have one."""


class _Vehicle:
    """What is known of a key."""

    __slots__ = ("fix", "folded", "newest", "out", "parked", "removed", "sent_at", "waiting")

    def __init__(self) -> None:
        self.waiting: Delivery | None = None
        self.fix: Fix | None = None
        """Of what waits."""
        self.folded = 0
        """How many were superseded since one last went out."""
        self.out: int | None = None
        """The offset of what is out."""
        self.newest: Fix | None = None
        """The latest that ever went out."""
        self.parked: tuple[Fix, Delivery] | None = None
        """What has a retry row."""
        self.removed: int | None = None
        """The offset of the last whose row was deleted: Postgres may still be about to give it out."""
        self.sent_at: float | None = None
        """When the last request began, monotonic."""

    @property
    def is_row_out(self) -> bool:
        return self.parked is not None and self.parked[0].offset == self.out

    @property
    def is_idle(self) -> bool:
        return self.waiting is None and self.out is None and self.parked is None


class Conflation:
    """The vehicles of one subscription on one partition."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._vehicles: dict[str, _Vehicle] = {}
        """Whose position came last stands last."""
        self._due: list[tuple[float, int, str]] = []
        """A heap of who waits, by when; what doesn't hold any more is passed over."""
        self._numbers = count()
        self._waiting = 0

    def __len__(self) -> int:
        """Return how many positions wait."""
        return self._waiting

    def add(self, key: str, fix: Fix, delivery: Delivery, *, now: float) -> Over:
        """Take in a position; return what is superseded by it, or it by what is known."""
        vehicle = self._vehicle(key)
        if _is_before(fix, vehicle.newest) or _is_before(fix, vehicle.fix):
            vehicle.folded += 1
            return Over(delivery)
        over = Over(vehicle.waiting)
        row = vehicle.parked
        if row is not None and row[0] < fix and not vehicle.is_row_out:
            over = Over(vehicle.waiting, row[1])
            vehicle.parked, vehicle.removed = None, row[0].offset
        vehicle.folded += sum(1 + old.conflated for old in over if old is not None)
        due = now if vehicle.sent_at is None else max(now, vehicle.sent_at + self.every)
        self._wait(key, vehicle, delivery, fix, due=due)
        return over

    def next(self, now: float, *, early: bool = False) -> Delivery | None:
        """Hand out the position that is due for longest; *early*: the next one, due or not."""
        while self._due:
            due, _, key = self._due[0]
            vehicle = self._vehicles.get(key)
            if vehicle is None or vehicle.waiting is None or vehicle.out is not None:
                heappop(self._due)
            elif due > now and not early:
                return None
            else:
                heappop(self._due)
                return self._hand_out(vehicle, now)
        return None

    def landed(self, key: str, offset: int, *, began: float) -> None:
        """Take in that the request of a position, which began then, has ended."""
        vehicle = self._vehicles.get(key)
        if vehicle is None or vehicle.out != offset:
            return
        if vehicle.is_row_out:
            vehicle.parked = None
        vehicle.out, vehicle.sent_at = None, began
        if vehicle.waiting is not None:
            self._push(key, began + self.every)

    def is_overtaken(self, key: str, offset: int) -> bool:
        """Tell whether a later position waits than the one that went out last, at *offset*."""
        vehicle = self._vehicles.get(key)
        if vehicle is None or vehicle.waiting is None or vehicle.newest is None:
            return False
        return vehicle.newest.offset == offset

    def fold(self, key: str, delivery: Delivery) -> None:
        """Count what went out, failed and is superseded by what waits."""
        self._vehicle(key).folded += 1 + delivery.conflated

    def again(self, key: str, delivery: Delivery, *, now: float) -> bool:
        """Let what went out and failed wait at the end of the line, until a later one comes.

        False: what is known doesn't say whether it is the latest; it is out once more.
        """
        vehicle = self._vehicle(key)
        newest, offset = vehicle.newest, delivery.position.offset
        if newest is None or newest.offset != offset or vehicle.waiting is not None:
            vehicle.out = offset
            return False
        vehicle.folded += delivery.conflated
        self._wait(key, vehicle, replace(delivery, conflated=0), newest, due=now)
        return True

    def park(self, key: str, delivery: Delivery) -> None:
        """Note that what went out and failed becomes a row."""
        vehicle = self._vehicle(key)
        newest = vehicle.newest
        if newest is not None and newest.offset == delivery.position.offset:
            vehicle.parked = newest, delivery

    def is_outdated(self, key: str, delivery: Delivery) -> bool:
        """Tell whether a later position went out than one can be that comes back from a row of before.

        When it was taken isn't in its row, but when it was written is, and that was not before.
        """
        vehicle = self._vehicles.get(key)
        if vehicle is None or vehicle.newest is None:
            return False
        offset = delivery.position.offset
        is_known = vehicle.newest.offset == offset or (
            vehicle.parked is not None and vehicle.parked[0].offset == offset
        )
        return not is_known and vehicle.newest.at > delivery.timestamp_ms / 1000

    def fetch(self, key: str, delivery: Delivery, *, now: float) -> Delivery | None:
        """Hand out what comes back from its row; None: not beside another of its vehicle."""
        vehicle = self._vehicle(key)
        offset = delivery.position.offset
        if vehicle.out is not None or vehicle.waiting is not None or vehicle.removed == offset:
            return None
        # One from before this was owned may come too: what is known is of another row then.
        if vehicle.parked is not None and vehicle.parked[0].offset == offset:
            fix, row = vehicle.parked
            delivery = replace(delivery, conflated=row.conflated + vehicle.folded)
            vehicle.parked, vehicle.folded = (fix, delivery), 0
        vehicle.out, vehicle.sent_at = offset, now
        return delivery

    def start_over(self, flying: Mapping[str, int], *, again: bool) -> None:
        """Drop what waits, since it is read again; what flies, by key, is out.

        *again*: a person wants older ones too.
        """
        for vehicle in self._vehicles.values():
            vehicle.waiting = vehicle.fix = vehicle.out = None
            vehicle.newest = None if again else vehicle.newest
        for key, offset in flying.items():
            self._vehicle(key).out = offset
        self._due.clear()
        self._waiting = 0

    def change(self, every: float) -> None:
        """Hand out every so many seconds from now on, what waits already too."""
        if every == self.every:
            return
        self.every = every
        self._due = [
            (0.0 if vehicle.sent_at is None else vehicle.sent_at + every, next(self._numbers), key)
            for key, vehicle in self._vehicles.items()
            if vehicle.waiting is not None and vehicle.out is None
        ]
        heapify(self._due)

    # Inside.

    def _vehicle(self, key: str) -> _Vehicle:
        vehicle = self._vehicles.pop(key, None)
        if vehicle is None:
            vehicle = _Vehicle()
            if len(self._vehicles) >= MAX_KNOWN:
                self._forget_one()
        self._vehicles[key] = vehicle
        return vehicle

    def _forget_one(self) -> None:
        key = next((k for k, vehicle in self._vehicles.items() if vehicle.is_idle), None)
        if key is not None:
            del self._vehicles[key]

    def _wait(
        self, key: str, vehicle: _Vehicle, delivery: Delivery, fix: Fix, *, due: float
    ) -> None:
        if vehicle.waiting is None:
            self._waiting += 1
            if vehicle.out is None:
                self._push(key, due)
        vehicle.waiting, vehicle.fix = delivery, fix

    def _push(self, key: str, due: float) -> None:
        heappush(self._due, (due, next(self._numbers), key))

    def _hand_out(self, vehicle: _Vehicle, now: float) -> Delivery:
        delivery = vehicle.waiting
        assert delivery is not None  # noqa: S101 - it was looked at
        if vehicle.folded:
            delivery = replace(delivery, conflated=vehicle.folded)
        self._waiting -= 1
        vehicle.out, vehicle.newest, vehicle.sent_at = delivery.position.offset, vehicle.fix, now
        vehicle.waiting, vehicle.fix, vehicle.folded = None, None, 0
        return delivery


def _is_before(fix: Fix, other: Fix | None) -> bool:
    return other is not None and fix < other
