"""A dry run extrapolates to a day only from what is enough for that."""

from dataclasses import replace

import pytest

from services.control.rehearsal import Rehearsal, Wish
from services.match.fences import Fences
from tests.support.factories import an_event

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("moments", "per_day"),
    [
        ([], None),
        ([0], None),
        ([0, 40_000], None),
        ([0, HOUR_MS - 1], None),
        ([0, HOUR_MS], 48.0),
        ([0, 1, 24 * HOUR_MS], 3.0),
    ],
)
def test_a_day_is_told_where_an_hour_or_more_was_read(
    moments: list[int], per_day: float | None
) -> None:
    rehearsal = Rehearsal(Wish(("plan.*",), None), Fences.of([]))
    for moment in moments:
        rehearsal.take(replace(an_event(), timestamp_ms=1_647_510_067_195 + moment))
    found = rehearsal.result(complete=True)
    assert (found["scanned"], found["per_day"]) == (len(moments), per_day)
