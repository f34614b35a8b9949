"""What waits, and where: as workers wrote it down."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Start


class LaneSeen(NamedTuple):
    """A lane, and when its owner last wrote of it."""

    row: LaneRow
    updated_at: datetime


class Behind(NamedTuple):
    """Where a lane stands."""

    partition: Partition
    cursor: int
    cursor_at: datetime
    """About when the record at the cursor was written."""


class InShort(NamedTuple):
    """What the tables say of one subscription among many."""

    retries: int
    """Deliveries that wait to be tried again, counted to a limit."""
    oldest_ms: int | None
    """Unix milliseconds of the oldest of them."""
    lanes: Sequence[Behind] = ()


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


class OwnedSeen(NamedTuple):
    """A row of `partitions`: who owns one, and where it last said that it stands."""

    partition: Partition
    epoch: int
    worker: str
    committed: int | None
    read_offset: int | None
    """The next offset that its owner reads."""
    open_offsets: int | None
    """Read and not settled."""
    updated_at: datetime


class LaneKey(NamedTuple):
    """What names a lane, in the order in which all of them are listed."""

    subscription_id: SubscriptionId
    topic: str
    partition: int
