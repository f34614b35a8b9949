"""Scanners take a quarter of a busy loop, and all of an idle one."""

from services.lanes.budget import IDLE_SECONDS, REST_SECONDS, Share


def test_an_idle_loop_is_the_scanners() -> None:
    share = Share()
    share.took(0.005)
    assert share.passed(IDLE_SECONDS / 2) is None


def test_on_a_busy_loop_others_have_three_times_as_much() -> None:
    share, own, others = Share(), 0.0, 0.0
    for _ in range(100):
        share.took(0.004)
        own += 0.004
        while share.passed(0.003) is not None:
            others += 0.003
        others += 0.003
    assert 0.2 < own / (own + others) <= 0.25


def test_a_loop_that_lags_is_left_alone() -> None:
    share = Share()
    share.took(0.004)
    assert share.passed(0.03) == REST_SECONDS
