"""Pace and rate limit: bounds that hold whatever comes, and how fast they follow a receiver."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliver.pacing import START, Pace, RateLimit


def rounds(pace: Pace, count: int, *, seconds: float = 0.1, now: float = 0.0) -> float:
    """Let so many rounds succeed; return the time after it."""
    for _ in range(count):
        now += seconds
        for _ in range(pace.limit):
            pace.succeeded(seconds, now)
    return now


def test_a_limit_starts_at_four_and_doubles_with_each_round_until_something_says_stop() -> None:
    pace = Pace(64)
    seen = [pace.limit]
    for _ in range(5):
        rounds(pace, 1)
        seen.append(pace.limit)
    assert seen == [START, 8, 16, 32, 64, 64]


def test_after_a_cut_it_grows_by_one_with_each_round() -> None:
    pace = Pace(64)
    now = rounds(pace, 5)
    pace.slowed(began=now, now=now + 0.1)
    assert pace.limit == 44
    rounds(pace, 3, now=now + 0.1)
    assert pace.limit == 47


def test_requests_that_were_sent_before_the_last_cut_cut_nothing() -> None:
    pace = Pace(64)
    now = rounds(pace, 5)
    for _ in range(64):
        pace.slowed(began=now, now=now + 0.1)
    assert pace.limit == 44
    pace.slowed(began=now + 0.1, now=now + 0.2)
    assert pace.limit == 30


def test_answers_that_take_twice_the_usual_time_stop_the_growth() -> None:
    pace = Pace(1000)
    now = rounds(pace, 3, seconds=0.1)
    before = pace.limit
    rounds(pace, 5, seconds=0.3, now=now)
    assert pace.limit == before


def test_after_an_outage_nine_tenths_are_back_after_a_few_round_trips() -> None:
    pace = Pace(100)
    now = rounds(pace, 6)
    pace.slowed(began=now, now=now)
    pace.restart()
    assert pace.limit == 1
    pace.restart()  # a probe succeeded, and the next request failed
    rounds(pace, 7, now=now)
    assert pace.limit == 90


def test_a_ceiling_that_was_lowered_and_raised_again_is_reached_again() -> None:
    pace = Pace(64)
    rounds(pace, 5)
    pace.ceiling = 3
    assert pace.limit == 3
    pace.ceiling = 64
    rounds(pace, 5)
    assert pace.limit == 64


STEP = st.tuples(
    st.sampled_from(["ok", "ok", "ok", "slowed", "restart", "ceiling"]),
    st.floats(0.0005, 5),
    st.integers(1, 200),
)


@given(st.integers(1, 200), st.lists(STEP, max_size=200))
def test_a_limit_is_never_below_one_nor_above_its_ceiling(
    ceiling: int, steps: list[tuple[str, float, int]]
) -> None:
    pace, now = Pace(ceiling), 0.0
    for kind, seconds, number in steps:
        now += seconds
        match kind:
            case "ok":
                for _ in range(number):
                    pace.succeeded(seconds, now)
            case "slowed":
                pace.slowed(began=now - seconds, now=now)
            case "restart":
                pace.restart()
            case _:
                pace.ceiling = number
        assert 1 <= pace.limit <= pace.ceiling


@given(
    st.floats(0.1, 500),
    st.lists(st.floats(0, 2), min_size=1, max_size=300),
)
def test_no_stretch_of_time_sees_more_than_the_rate_and_a_quarter_second_of_it(
    rate: float, pauses: list[float]
) -> None:
    bucket, now, free_at, taken = RateLimit(rate, 0.0), 0.0, 0.0, []
    for pause in pauses:
        now = max(now + pause, free_at)
        free_at = bucket.take(now)
        taken.append(now)
    for first, begin in enumerate(taken):
        for last in range(first, len(taken)):
            most = rate * (taken[last] - begin + 0.25) + 1 + 1e-6
            assert last - first + 1 <= most


def test_a_rate_is_reached_although_it_is_looked_at_ten_times_a_second_only() -> None:
    bucket, sent, free_at = RateLimit(50, 0.0), 0, 0.0
    for tick in range(101):
        while free_at <= tick / 10 + 1e-9:
            free_at = bucket.take(tick / 10)
            sent += 1
    assert 498 <= sent <= 515


def test_a_share_of_nothing_lets_nothing_out_and_a_new_one_begins_at_once() -> None:
    bucket = RateLimit(10, 0.0)
    bucket.take(0.0)
    assert bucket.change(0, 0.05) == float("inf")
    assert bucket.change(10, 10.0) == pytest.approx(10.05)
