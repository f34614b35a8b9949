"""The breaker: a table of every state and input, and what holds for any sequence."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliver.breaker import JITTER, LONGEST_WAIT, SPREAD, Breaker
from services.kernel.condition import BreakerState

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN
NOW = 100.0


def fail(breaker: Breaker, times: int = 1, *, unreached: bool = False, now: float = NOW) -> None:
    for _ in range(times):
        breaker.failed(now, unreached=unreached, chance=0.0)


def succeed(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.succeeded(NOW)


def fresh() -> Breaker:
    return Breaker(0.0)


def nearly_open() -> Breaker:
    breaker = fresh()
    succeed(breaker, 9)
    fail(breaker, 10)
    return breaker


def four_unreached() -> Breaker:
    breaker = fresh()
    fail(breaker, 4, unreached=True)
    return breaker


def opened() -> Breaker:
    breaker = fresh()
    fail(breaker, 5, unreached=True)
    return breaker


def half_open() -> Breaker:
    breaker = opened()
    succeed(breaker)
    return breaker


def nearly_closed() -> Breaker:
    breaker = half_open()
    succeed(breaker, 18)
    return breaker


def wavering() -> Breaker:
    breaker = half_open()
    fail(breaker)
    return breaker


TABLE: list[tuple[Callable[[], Breaker], str, BreakerState]] = [
    (fresh, "success", CLOSED),
    (fresh, "failure", CLOSED),
    (fresh, "unreached", CLOSED),
    (nearly_open, "success", CLOSED),
    (nearly_open, "failure", OPEN),
    (nearly_open, "unreached", OPEN),
    (four_unreached, "success", CLOSED),
    (four_unreached, "failure", CLOSED),
    (four_unreached, "unreached", OPEN),
    (opened, "success", HALF_OPEN),
    (opened, "failure", OPEN),
    (opened, "unreached", OPEN),
    (half_open, "success", HALF_OPEN),
    (half_open, "failure", HALF_OPEN),
    (half_open, "unreached", HALF_OPEN),
    (nearly_closed, "success", CLOSED),
    (nearly_closed, "failure", CLOSED),
    (nearly_closed, "unreached", CLOSED),
    (wavering, "success", HALF_OPEN),
    (wavering, "failure", OPEN),
    (wavering, "unreached", OPEN),
]


@pytest.mark.parametrize(
    ("make", "answer", "state"), TABLE, ids=[f"{row[0].__name__}-{row[1]}" for row in TABLE]
)
def test_each_answer_in_each_state(
    make: Callable[[], Breaker], answer: str, state: BreakerState
) -> None:
    breaker = make()
    if answer == "success":
        succeed(breaker)
    else:
        fail(breaker, unreached=answer == "unreached")
    assert breaker.state is state


def test_the_first_probe_follows_after_a_second_and_then_after_twice_as_long_up_to_a_minute() -> (
    None
):
    breaker = opened()
    waits = []
    for _ in range(8):
        waits.append(breaker.probe_at - NOW)
        fail(breaker)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_chance_shortens_a_wait_and_never_lengthens_it() -> None:
    breaker = fresh()
    for _ in range(5):
        breaker.failed(NOW, unreached=True, chance=0.5)
    assert breaker.probe_at - NOW == pytest.approx(1 - JITTER / 2)


def test_those_that_went_down_together_are_probed_all_over_the_minute() -> None:
    breaker = opened()
    shares = []
    for wait in (2, 4, 8, 16, 32, 60, 60):
        breaker.failed(NOW, unreached=True, chance=1.0)
        shares.append(1 - (breaker.probe_at - NOW) / wait)
    assert shares == pytest.approx([JITTER] * 5 + [SPREAD] + [JITTER])


def test_one_that_fails_again_while_half_open_waits_longer_than_the_first_time() -> None:
    breaker = wavering()
    fail(breaker)
    assert breaker.probe_at - NOW == 2


def test_one_that_closes_starts_anew_and_needs_as_many_failures_as_ever() -> None:
    breaker = nearly_closed()
    succeed(breaker)
    fail(breaker, 20)
    assert breaker.state is CLOSED
    fail(breaker)
    assert breaker.state is OPEN
    assert breaker.probe_at - NOW == 1


def test_after_many_successes_a_failing_receiver_is_told_by_its_last_answers_alone() -> None:
    breaker = fresh()
    succeed(breaker, 100_000)
    fail(breaker, 32)
    assert breaker.state is CLOSED
    fail(breaker)
    assert breaker.state is OPEN


@given(st.lists(st.tuples(st.sampled_from(["ok", "failed", "unreached"]), st.floats(0, 0.999))))
def test_whatever_is_answered_the_next_probe_is_within_a_minute(
    answers: list[tuple[str, float]],
) -> None:
    breaker, now = Breaker(0.0), 0.0
    for answer, chance in answers:
        now += 1.0
        before = breaker.state, breaker.opened
        if answer == "ok":
            breaker.succeeded(now)
            assert breaker.state is not OPEN
        else:
            breaker.failed(now, unreached=answer == "unreached", chance=chance)
        if breaker.state is OPEN:
            assert now + 0.79 <= breaker.probe_at <= now + LONGEST_WAIT
        assert (breaker.opened > before[1]) == (breaker.state is OPEN and before[0] is not OPEN)
