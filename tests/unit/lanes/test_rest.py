"""One that flaps stays detached longer each time."""

import pytest

from services.lanes.rest import CALM_SECONDS, flips_after, hold_seconds


@pytest.mark.parametrize(
    ("flips", "seconds"), [(0, 30), (1, 30), (2, 60), (3, 120), (5, 480), (6, 600), (10_000, 600)]
)
def test_it_doubles_from_30_s_to_10_min(flips: int, seconds: float) -> None:
    assert hold_seconds(flips) == seconds


def test_ten_calm_minutes_are_forgiven() -> None:
    assert flips_after(4, CALM_SECONDS - 1) == 5
    assert flips_after(4, CALM_SECONDS) == 1
