"""What waits for one subscription, and where: as workers wrote it down."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.kernel.lane import LaneRow, Start


class LaneSeen(NamedTuple):
    """A lane, and when its owner last wrote of it."""

    row: LaneRow
    updated_at: datetime


class Waiting(NamedTuple):
    """What the tables say of one subscription."""

    lanes: Sequence[LaneSeen] = ()
    starts: Sequence[Start] = ()
    """What was promised and no owner has taken over yet."""
    retries: int = 0
    """Deliveries that wait to be tried again."""
    oldest_ms: int | None = None
    """Unix milliseconds of the oldest of them."""
    held_keys: Sequence[str] = ()
    """Of an ordered one: keys whose event failed and waits; some of them where there are many."""
