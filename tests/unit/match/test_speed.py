"""A guard of the index's speed: a ratio within one run, coarse, since machines are busy."""

import pytest

from services.dev.bench_filters import compared
from services.dev.filter_mixes import POSITIONS, REPORTS, Mix


@pytest.mark.parametrize("mix", [POSITIONS, REPORTS], ids=lambda mix: mix.type)
def test_a_thousand_filters_are_far_cheaper_than_one_by_one(mix: Mix) -> None:
    by_index, one_by_one = compared(mix, 1_000, 400)
    assert one_by_one > 10 * by_index
