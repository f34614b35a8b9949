"""Which lanes are read together. At most two scans a partition; a mass failure is one cohort.

A scan starts at the lowest cursor of those that wait longest, runs forward, and takes along every
lane whose cursor it reaches. A lane without room falls off where it stands, and joins a later scan.
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
    """Tell whether every running scan has passed *position*."""
    return all(scan.position > position for scan in running)


def joins(scan: Running, running: Iterable[Running]) -> bool:
    """Tell whether *scan* has come to where an older one stands: one reader is enough from there."""
    return any(other.position == scan.position and other.turn < scan.turn for other in running)


def is_over(scan: Running, running: Sequence[Running], waiting: Sequence[Waiting]) -> bool:
    """Tell whether *scan* has done what it is for.

    Nobody is in it, or ahead of it; or its turn is over while somebody waits whom no scan reaches,
    and there is no reader left for those.
    """
    ahead = any(lane.position >= scan.position for lane in waiting)
    if scan.members == 0 and not ahead:
        return True
    if len(running) < MAX_SCANS or scan.read < TURN_RECORDS:
        return False
    return any(is_missed(lane.position, running) for lane in waiting)
