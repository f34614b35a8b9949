"""Which answer leads where."""

from collections.abc import Sequence
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


def verdict(
    attempt: Attempt,
    *,
    number: int = 1,
    schedule: Sequence[float] = DEFAULT_SCHEDULE,
    chance: float = 0.0,
) -> object:
    return decide(attempt, number=number, schedule=schedule, now=lambda: NOW, chance=lambda: chance)


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
    assert verdict(an_attempt(Outcome.HTTP, 500), schedule=()) == Dead("exhausted")


def test_retry_after_lengthens_a_wait_and_never_shortens_it() -> None:
    assert verdict(an_attempt(Outcome.HTTP, 429, 60.0)) == RetryAt(NOW + timedelta(seconds=60))
    assert verdict(an_attempt(Outcome.HTTP, 429, 1.0)) == RetryAt(NOW + timedelta(seconds=5))


def test_every_outcome_leads_somewhere() -> None:
    again = RetryAt(NOW + timedelta(seconds=5))
    expected = dict.fromkeys(Outcome, again) | {Outcome.OK: Acknowledged()}
    assert {outcome: verdict(an_attempt(outcome)) for outcome in Outcome} == expected


@given(status=st.integers(100, 599))
def test_of_all_statuses_that_are_no_success_only_410_is_not_tried_again(status: int) -> None:
    found = verdict(an_attempt(Outcome.HTTP, status))
    assert found == (Disable("gone") if status == 410 else RetryAt(NOW + timedelta(seconds=5)))


@given(outcome=st.sampled_from(Outcome), number=st.integers(1, 30), retry_after=st.floats(0, 3600))
def test_an_answer_of_success_is_acknowledged_whatever_the_number_and_only_that(
    outcome: Outcome, number: int, retry_after: float
) -> None:
    found = verdict(an_attempt(outcome, retry_after=retry_after), number=number)
    assert isinstance(found, Acknowledged) == (outcome is Outcome.OK)


@pytest.mark.parametrize("number", [1, 10, 11])
def test_gone_disables_at_every_attempt_also_the_last(number: int) -> None:
    assert verdict(an_attempt(Outcome.HTTP, 410), number=number) == Disable("gone")
    assert verdict(an_attempt(Outcome.HTTP, 410), number=number, schedule=()) == Disable("gone")


def test_a_subscription_may_have_a_schedule_of_its_own() -> None:
    failed = an_attempt(Outcome.TIMEOUT)
    due = [RetryAt(NOW + timedelta(seconds=seconds)) for seconds in (1, 60)]
    found = [verdict(failed, number=number, schedule=(1, 60)) for number in (1, 2, 3)]
    assert found == [*due, Dead("exhausted")]


def test_a_shortened_schedule_ends_what_is_already_beyond_it() -> None:
    failed = an_attempt(Outcome.TIMEOUT)
    assert verdict(failed, number=7, schedule=(1, 60)) == Dead("exhausted")


def test_retry_after_does_not_bring_back_what_is_given_up() -> None:
    assert verdict(an_attempt(Outcome.HTTP, 503, 60.0), number=10) == Dead("exhausted")


def test_retries_of_one_outage_do_not_come_back_as_one() -> None:
    failed = an_attempt(Outcome.CONNECT)
    due = {verdict(failed, number=2, chance=chance / 100) for chance in range(100)}
    assert len(due) == 100


def test_an_attempt_is_due_at_a_moment_in_utc() -> None:
    found = verdict(an_attempt(Outcome.RESET))
    assert isinstance(found, RetryAt)
    assert found.due_at.tzinfo is UTC


@given(number=st.integers(1, 9), chance=st.floats(0, 1, exclude_max=True))
def test_jitter_stretches_a_wait_by_at_most_a_fifth(number: int, chance: float) -> None:
    found = verdict(an_attempt(Outcome.RESET), number=number, chance=chance)
    wait = DEFAULT_SCHEDULE[number - 1]
    assert isinstance(found, RetryAt)
    assert wait <= (found.due_at - NOW).total_seconds() <= wait * (1 + JITTER) + 0.001
