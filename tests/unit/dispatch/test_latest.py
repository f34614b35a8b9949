"""When a position was taken, and which events are positions at all."""

from dataclasses import replace

import pytest

from services.dispatch.latest import fix_of
from services.kernel.subscription import Grouping, Mode
from services.match.order_key import is_folded
from tests.support.factories import a_subscription, an_event

WRITTEN = 1_647_510_067.195
"""When Kafka took it in: 2022-03-17T09:41:07.195Z."""


@pytest.mark.parametrize(
    ("created_at", "taken"),
    [
        ("2022-03-17T09:41:00.500Z", WRITTEN - 6.695),
        ("2022-03-17T10:41:00.500+01:00", WRITTEN - 6.695),
        ("2022-03-17T09:41:00.500", WRITTEN - 6.695),  # no zone: UTC
        ("2022-03-17T10:41:00.500Z", WRITTEN),  # a phone's clock is an hour ahead
        ("yesterday", WRITTEN),
    ],
)
def test_a_position_was_taken_when_it_says_but_before_it_was_written(
    created_at: str, taken: float
) -> None:
    event = replace(an_event("vehicle.position", offset=9), created_at=created_at)
    event = replace(event, timestamp_ms=round(WRITTEN * 1000))
    assert fix_of(event) == (pytest.approx(taken), 9)


@pytest.mark.parametrize(
    ("type_", "key", "mode", "expected"),
    [
        ("vehicle.position", "van", Mode.LATEST, True),
        ("route.track", "route", Mode.LATEST, True),
        ("vehicle.position", None, Mode.LATEST, False),
        ("stop.report.created", "plan", Mode.LATEST, False),
        ("vehicle.position", "van", Mode.EACH, False),
    ],
)
def test_streams_alone_are_replaced_and_only_where_the_latest_is_wanted(
    type_: str, key: str | None, mode: Mode, *, expected: bool
) -> None:
    subscription = a_subscription("*", delivery=Grouping(mode))
    assert is_folded(an_event(type_, key=key), subscription) is expected
