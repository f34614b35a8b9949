"""Which answer leads where."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.attempt import Acknowledged, Attempt, Dead, Disable, Outcome, RetryAt
from services.kernel.retry import DEFAULT_SCHEDULE, JITTER, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def an_attempt(
    outcome: Outcome, status: int | None = None, retry_after: float | None = None
) -> Attempt:
    return Attempt(
        outcome=outcome, status=status, retry_after=retry_after, started_at=0.0, seconds=0.1
    )


def verdict(attempt: Attempt, *, number: int = 1, chance: float = 0.0) -> object:
    return decide(
        attempt, number=number, schedule=DEFAULT_SCHEDULE, now=lambda: NOW, chance=lambda: chance
    )


def test_two_hundred_is_acknowledged() -> None:
    assert verdict(an_attempt(Outcome.OK, 204)) == Acknowledged()


def test_gone_disables_at_once() -> None:
    assert verdict(an_attempt(Outcome.HTTP, 410)) == Disable("gone")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.HTTP, 301),
        (Outcome.HTTP, 404),
        (Outcome.HTTP, 429),
        (Outcome.HTTP, 503),
        (Outcome.TIMEOUT, None),
        (Outcome.CONNECT, None),
        (Outcome.DNS, None),
        (Outcome.TLS, None),
        (Outcome.RESET, None),
        (Outcome.BLOCKED, None),
    ],
)
def test_every_other_answer_is_tried_again_after_five_seconds(
    outcome: Outcome, status: int | None
) -> None:
    assert verdict(an_attempt(outcome, status)) == RetryAt(NOW + timedelta(seconds=5))


def test_the_schedule_spans_three_days_and_then_ends() -> None:
    failed = an_attempt(Outcome.HTTP, 500)
    waits = [verdict(failed, number=n) for n in range(1, 11)]
    assert [(w.due_at - NOW).total_seconds() for w in waits[:-1] if isinstance(w, RetryAt)] == list(
        DEFAULT_SCHEDULE
    )
    assert waits[-1] == Dead("exhausted")


def test_an_empty_schedule_means_one_attempt() -> None:
    attempt = an_attempt(Outcome.HTTP, 500)
    assert decide(attempt, number=1, schedule=(), now=lambda: NOW, chance=lambda: 0.0) == Dead(
        "exhausted"
    )


def test_retry_after_lengthens_a_wait_and_never_shortens_it() -> None:
    assert verdict(an_attempt(Outcome.HTTP, 429, 60.0)) == RetryAt(NOW + timedelta(seconds=60))
    assert verdict(an_attempt(Outcome.HTTP, 429, 1.0)) == RetryAt(NOW + timedelta(seconds=5))


@given(number=st.integers(1, 9), chance=st.floats(0, 1, exclude_max=True))
def test_jitter_stretches_a_wait_by_at_most_a_fifth(number: int, chance: float) -> None:
    found = verdict(an_attempt(Outcome.RESET), number=number, chance=chance)
    wait = DEFAULT_SCHEDULE[number - 1]
    assert isinstance(found, RetryAt)
    assert wait <= (found.due_at - NOW).total_seconds() <= wait * (1 + JITTER) + 0.001
