"""The retry policy: which answer leads where. Pure; `tests/unit/kernel` has the table."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from services.kernel.attempt import Acknowledged, Attempt, Dead, Disable, Outcome, RetryAt, Verdict

MINUTE = 60.0
HOUR = 3600.0

DEFAULT_SCHEDULE: tuple[float, ...] = (
    5.0,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""Seconds to wait after the 1st, 2nd … failed attempt; after the last one a dead letter."""

JITTER = 0.2
"""A wait is stretched by up to this share, so that retries of one outage don't come back as one."""

LONGEST_ORDERED = 2 * HOUR

GONE = 410

ACKNOWLEDGED = Acknowledged()


def ordered_schedule(schedule: Sequence[float]) -> tuple[float, ...]:
    """Return the default of ordered subscriptions: it ends after the wait of two hours.

    What fails holds its key, and all that comes after it.
    """
    return tuple(wait for wait in schedule if wait <= LONGEST_ORDERED)


def decide(
    attempt: Attempt,
    *,
    number: int,
    schedule: Sequence[float],
    now: Callable[[], datetime],
    chance: Callable[[], float],
) -> Verdict:
    """Say what follows from *attempt*, the *number*-th (from 1) of its delivery.

    *chance*, in [0, 1), spreads the waits; it and *now* are asked on a failure alone.
    `Retry-After` lengthens a wait, never shortens it: the receiver knows when it can't, the
    schedule knows when it is worth asking.
    """
    if attempt.outcome is Outcome.OK:
        return ACKNOWLEDGED
    if attempt.status == GONE:
        return Disable("gone")
    if number > len(schedule):
        return Dead("exhausted")
    wait = schedule[number - 1] * (1 + JITTER * chance())
    if attempt.retry_after is not None:
        wait = max(wait, attempt.retry_after)
    return RetryAt(now() + timedelta(seconds=wait))
