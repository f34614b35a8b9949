"""Which lanes are read together. At most two scans a partition; a mass failure is one cohort.

A scan starts at the lowest cursor of those that wait longest, runs forward, and takes along every
lane whose cursor it reaches. A lane without room falls off where it stands, and joins a later scan.
When the last one falls off, the scan lingers there with what it has in hand: that lane comes back as
soon as its receiver has taken some, and the log isn't read again for each handful of deliveries.
One that runs where nobody else waits goes on as far as there is log; when somebody waits behind it,
it ends after its turn, and the turn after begins with those.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.kernel.value import value

MAX_SCANS = 2
TURN_RECORDS = 200_000
"""After so many records a scan ends if lanes wait that it has passed: some seconds of reading."""


class Waiting(NamedTuple):
    """A lane that may be read and isn't."""

    position: int
    served: int
    """The turn in which it was last read; 0: never, or it is near the edge of the log."""


@value
class Running:
    """A scan under way."""

    position: int
    turn: int
    read: int
    """Records since it started."""
    members: int
    in_hand: int = 0
    """So many offsets from its position on needn't be read: its last member fell off there."""
    lingers: bool = False
    """Whether that was a moment ago."""

    def reaches(self, position: int) -> bool:
        """Tell whether it comes to *position*; without members only to what it has in hand."""
        ahead = position - self.position
        return ahead >= 0 and (self.members > 0 or ahead <= self.in_hand)


def start_of(waiting: Iterable[Waiting]) -> int | None:
    """Return where a scan that begins now starts; None where nobody waits."""
    found = min(waiting, key=lambda lane: (lane.served, lane.position), default=None)
    return None if found is None else found.position


def may_start(running: Sequence[Running], waiting: Sequence[Waiting]) -> bool:
    """Tell whether another scan is worth its reader: for lanes that no running scan will reach."""
    if len(running) >= MAX_SCANS:
        return False
    return any(is_missed(lane.position, running) for lane in waiting)


def is_missed(position: int, running: Iterable[Running]) -> bool:
    """Tell whether no running scan comes to *position*."""
    return not any(scan.reaches(position) for scan in running)


def joins(scan: Running, running: Iterable[Running]) -> bool:
    """Tell whether *scan* has come to where an older one stands: one reader is enough from there."""
    return any(other.position == scan.position and other.turn < scan.turn for other in running)


def is_over(scan: Running, running: Sequence[Running], waiting: Sequence[Waiting]) -> bool:
    """Tell whether *scan* has done what it is for.

    Nobody is in it, or can join it, and it doesn't linger, or somebody else needs its reader; or its
    turn is over while somebody waits whom no scan reaches, and there is no reader left for those.
    """
    missed = any(is_missed(lane.position, running) for lane in waiting)
    if scan.members == 0:
        joined = any(scan.reaches(lane.position) for lane in waiting)
        return not joined and (missed or not scan.lingers)
    return missed and len(running) >= MAX_SCANS and scan.read >= TURN_RECORDS
