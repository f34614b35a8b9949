"""Deliveries that were given up, and asking for them again."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.event import Position
from services.kernel.ids import SubscriptionId
from services.kernel.value import value


@value
class DeadLetter:
    """A delivery that was given up, with the last answer; its body stays where it is."""

    id: str
    """24 hex, by when it was given up."""
    event_id: str
    subscription_id: SubscriptionId
    project_id: str
    type: str
    position: Position
    key: str | None
    attempts: int
    reason: str
    """Why there is no further attempt: `exhausted` `gone` `disabled` …"""
    outcome: str | None
    """Of the last attempt; None: none was made."""
    status: int | None
    error: str | None
    response: bytes
    size: int
    """Bytes of the body."""
    dead_at: datetime


class DeadFilter(NamedTuple):
    """Which dead letters; None: any."""

    project_id: str | None = None
    subscription_id: str | None = None
    outcome: str | None = None
    status: int | None = None
    status_class: int | None = None
    """5 for 500 to 599."""
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not given up at or after this."""
    id: str | None = None
    """This one."""


@value
class Cause:
    """Dead letters that failed in the same way."""

    subscription_id: str
    outcome: str | None
    status: int | None
    count: int
    oldest_at: datetime
    sample: str
    """Id of the newest of them; what follows is of that one."""
    event_id: str
    error: str | None
    response: bytes


@value
class Among:
    """How many there are, and what they weigh."""

    count: int
    bytes: int
    last: str | None
    """Id of the newest: what is given up later isn't meant."""


class JobState(StrEnum):
    """How far a job is."""

    QUEUED = "queued"  #: nobody has begun
    RUNNING = "running"  #: under way, at its rate
    DONE = "done"  #: each was tried
    CANCELLED = "cancelled"  #: somebody ended it; what was handed over already is sent
    FAILED = "failed"  #: it can't go on; `error` says why


class Source(StrEnum):
    """Where a job takes deliveries from; but for the log named by their state."""

    LETTERS = "dead"  #: dead letters, by when they were given up
    ROWS = "parked"  #: retry rows, which are due at once; found in the history
    LOG = "acknowledged"  #: found in the history; their events are read from the log again


@value
class Resend:
    """A job: deliveries become due retries, in batches."""

    id: str
    project_id: str | None
    """None: of the operator, over all projects."""
    source: Source = Source.LETTERS
    asked: DeadFilter
    """Of the history, `id` is that of an attempt."""
    to: SubscriptionId | None = None
    """The subscription that gets them; None: that which got them."""
    until_id: str | None
    """Of the newest dead letter that is meant."""
    cursor: str | None = None
    """The last that was taken."""
    state: JobState
    total: int
    moved: int = 0
    """Handed over."""
    missing: int = 0
    """Not in the log any more."""
    waiting: int = 0
    """Of those handed over: not tried yet."""
    retrying: int = 0
    """Of those tried: failed, and due again."""
    dead: int = 0
    """Given up once more."""
    rate: float | None
    """Deliveries per second; None: as fast as receivers take them."""
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def done(self) -> int:
        """How many were tried, or can't be."""
        return max(0, self.moved + self.missing - self.waiting)

    @property
    def delivered(self) -> int:
        """How many arrived."""
        return max(0, self.moved - self.waiting - self.retrying - self.dead)
