"""Scanners take a quarter of the loop while there is live traffic, and all of an idle one."""

import pytest

from services.lanes.budget import IDLE_SECONDS, LAG_SECONDS, REST_SECONDS, Share


def came_back(share: Share, now: float, *, live: bool, late: float = 0.0) -> float | None:
    return share.came_back(late=late, now=now, live=live)


def test_an_idle_loop_is_the_scanners() -> None:
    share = Share()
    share.took(0.005, now=1.0)
    assert came_back(share, 1.0 + IDLE_SECONDS / 2, live=False, late=IDLE_SECONDS / 2) is None


def test_beside_live_traffic_a_pass_without_work_gives_no_leave_to_go_on() -> None:
    share = Share()
    share.took(0.005, now=1.0)
    left = came_back(share, 1.00001, live=True)
    assert left == pytest.approx(0.015 - 0.00001)
    assert came_back(share, 1.015, live=True) is None


def test_on_a_busy_loop_others_have_three_times_as_much() -> None:
    share, own, now = Share(), 0.0, 1.0
    for _ in range(100):
        now += 0.004
        own += 0.004
        share.took(0.004, now=now)
        now += 0.003
        while came_back(share, now, live=False, late=0.003) is not None:
            now += 0.003
    assert 0.2 < own / (now - 1.0) <= 0.25


def test_two_scanners_have_one_quarter_between_them() -> None:
    share = Share()
    share.took(0.004, now=1.000)
    share.took(0.004, now=1.004)
    assert came_back(share, 1.0239, live=True) is not None
    assert came_back(share, 1.0241, live=True) is None


def test_a_loop_that_lags_is_left_alone() -> None:
    share = Share()
    share.took(0.004, now=1.0)
    assert came_back(share, 1.03, live=False, late=LAG_SECONDS * 1.5) == REST_SECONDS
    assert came_back(share, 1.07, live=True, late=0.001) is not None


def test_a_slice_in_which_the_process_was_stopped_is_not_paid_for() -> None:
    share = Share()
    share.took(600.0, now=601.0)
    assert came_back(share, 602.0, live=True) is None
