"""How a subscription's outbox is doing: detaching and attaching depend on it, and people see it."""

from datetime import datetime
from enum import StrEnum

from services.kernel.value import value


class BreakerState(StrEnum):
    """Whether a receiver is believed to be reachable."""

    CLOSED = "closed"  #: requests go out as fast as its pace allows
    OPEN = "open"  #: most requests failed: one probe at a time, with longer and longer waits
    HALF_OPEN = "half_open"  #: a probe succeeded: twice as many at once with each round trip


class Trouble(StrEnum):
    """Why a subscription can't keep up with the feed. Each is reported once per spell."""

    BREAKER_OPEN = "breaker_open"  #: over half of the last requests failed, or none got through
    SLOW = "slow"  #: its median answer takes over a second
    FULL = "full"  #: as much as may wait for it does, and not for a moment only
    WAITED = (
        "waited"  #: an entry has waited for five seconds, or no request was answered for as long
    )
    RATE = "rate"  #: more arrives than its rate limit lets out
    BUDGET = "budget"  #: its retry rows are used up


@value
class Condition:
    """An outbox at one moment."""

    breaker: BreakerState
    since: datetime
    """When the breaker entered its state; if it was never open, when the outbox was made."""
    reason: Trouble | None
    """The first trouble of the present spell; None while all is well."""
    median_seconds: float | None
    """The median time of the last answers; None if there were too few."""
    limit: int
    """How many requests at once its pace allows now."""
    in_flight: int
    queued: int
    """What waits for its turn."""
    oldest_since: datetime | None
    """Since when the oldest delivery in line or in flight has been there."""
    success_share: float | None
    """The share of successes of the last 30 s; None if no request ended."""
