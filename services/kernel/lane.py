"""Lanes and starts as they are stored, and why there is one."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.value import value


class Reason(StrEnum):
    """Why a subscription isn't fed live on a partition."""

    BREAKER_OPEN = "breaker_open"  #: most requests fail
    SLOW = "slow"  #: the median answer takes over a second
    FULL = "full"  #: more comes than it takes
    WAITED = "waited"  #: the oldest entry has waited for 5 s
    RATE = "rate"  #: its rate limit is below what arrives
    BUDGET = "budget"  #: too many failures wait as rows
    WINDOW = "window"  #: it held up the offsets of the partition
    PAUSED = "paused"  #: by its owner
    DISABLED = "disabled"  #: by us
    BATCH = "batch"  #: its receiver takes batches: always from a lane
    LATEST = "latest"  #: its receiver takes the latest of each vehicle: always from a lane
    MAX_AGE = "max_age"  #: what it gets has a limit of age: always from a lane
    NEW = "new"  #: it begins at an offset of its own
    CHANGED = "changed"  #: it wants more types than before, from an offset on
    REWOUND = "rewound"  #: a person moved it

    @property
    def is_trouble(self) -> bool:
        """Whether it has to show that it is well before it is fed live again."""
        return self in _TROUBLE

    @property
    def is_usual(self) -> bool:
        """Whether a lane is its usual place."""
        return self in _USUAL


_TROUBLE = frozenset(
    {
        Reason.BREAKER_OPEN,
        Reason.SLOW,
        Reason.FULL,
        Reason.WAITED,
        Reason.RATE,
        Reason.BUDGET,
        Reason.WINDOW,
    }
)
_USUAL = frozenset({Reason.BATCH, Reason.LATEST, Reason.MAX_AGE})


@value
class LaneRow:
    """A row of `lanes`: it covers [cursor, attach_at) but for what `settled` names."""

    partition: Partition
    subscription_id: SubscriptionId
    cursor: int
    """The lowest offset that is open for the subscription."""
    settled: str = ""
    """The map of what is settled above the cursor, as in the metadata of a commit."""
    attach_at: int | None = None
    """Where the feed takes over; None: not yet."""
    state: str
    reason: Reason
    since: datetime
    flips: int = 1
    """Detachings in a row, this one included."""
    cursor_at: datetime
    """About when the record at the cursor was written."""
    speed: float = 0.0
    """Offsets that the cursor moved by per second, of late."""
    replay_below: int | None = None
    """What lies below is sent again, since a person moved the subscription back."""

    def __repr__(self) -> str:
        end = "∞" if self.attach_at is None else self.attach_at
        return (
            f"<LaneRow {self.subscription_id} {self.partition} [{self.cursor}, {end}) {self.state}>"
        )


class StartKind(StrEnum):
    """What begins at an offset."""

    NEW = "new"  #: the subscription
    TYPES = "types"  #: types that were added to it
    REWIND = "rewind"  #: everything, again or after a leap


@value
class Start:
    """A row of `starts`: the API promised deliveries from an offset on; the owner takes it over."""

    partition: Partition
    subscription_id: SubscriptionId
    offset: int
    kind: StartKind
    epoch: int = 0
    """Of the subscription: a later one is another promise."""
    since: int | None = None
    """Of a rewind: where the promise began that it replaced before anybody had taken that over."""


class Keep(NamedTuple):
    """Write or overwrite the row of a lane; and take over a start, in the same transaction."""

    epoch: int
    row: LaneRow
    takes_start: int | None = None
    """Up to which epoch of the subscription; None: there is none."""


class Drop(NamedTuple):
    """Delete the row of a lane, and the start that it stands for."""

    epoch: int
    partition: Partition
    subscription_id: SubscriptionId
    takes_start: int | None = None
    """As of `Keep`."""


LaneChange = Keep | Drop


class LaneGapReason(StrEnum):
    """Why a range isn't delivered to one subscription."""

    RETENTION = "retention"  #: the log no longer has it
    SKIPPED = "skipped"  #: a person had it go on further up


@value
class LaneGap:
    """A range that is not delivered to one subscription."""

    partition: Partition
    subscription_id: SubscriptionId
    from_offset: int
    to_offset: int
    reason: LaneGapReason = LaneGapReason.RETENTION
    at: datetime
