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
    """Id of the newest of them."""


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


@value
class Resend:
    """A job: dead letters become due retries again, in batches."""

    id: str
    project_id: str | None
    """None: of the operator, over all projects."""
    asked: DeadFilter
    until_id: str | None
    """Of the newest dead letter that is meant."""
    state: JobState
    total: int
    done: int
    """Handed over and tried."""
    rate: float | None
    """Deliveries per second; None: as fast as receivers take them."""
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
