"""What a request for a replay becomes, and what is wrong with one."""

from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.event import Event, Partition, Position
from services.kernel.ports.broker import Bounds
from services.kernel.replay import Range, Wanted
from services.replay.pace import Pace
from services.replay.plan import key_of, ranges, span_faults

A, B = Partition("planner.events", 0), Partition("planner.events", 1)
NOW = datetime(2026, 3, 17, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROJECT = "5e208446c97efa37d4830b01"
OTHER = "5e208446c97efa37d4830b02"


def test_a_range_lies_within_the_log_and_an_empty_one_is_left_out() -> None:
    bounds = {A: Bounds(10, 50), B: Bounds(0, 7)}
    assert ranges(starts={A: 3, B: 7}, ends={A: 60, B: 7}, bounds=bounds) == (
        Range(A, 10, 50, cursor=10),
    )


@pytest.mark.parametrize(
    ("since", "until", "oldest", "said"),
    [
        (NOW - HOUR, NOW, None, None),
        (NOW - HOUR, None, NOW - 2 * HOUR, None),
        (NOW - HOUR, NOW - 2 * HOUR, None, "from must lie before to"),
        (NOW - HOUR, NOW - HOUR, None, "from must lie before to"),
        (NOW + HOUR, None, None, "from lies in the future: nothing is there yet"),
        (
            NOW - 2 * HOUR,
            None,
            NOW - HOUR,
            "the log no longer holds that time: it can be had from 2026-03-17T11:02:00.000Z on",
        ),
    ],
)
def test_a_span_that_cant_be_had_is_a_fault_of_from(
    since: datetime, until: datetime | None, oldest: datetime | None, said: str | None
) -> None:
    faults = span_faults(since, until, now=NOW, oldest=oldest)
    assert [(fault.pointer, fault.message) for fault in faults] == (
        [("/from", said)] if said else []
    )


def test_a_key_may_be_given_as_the_record_has_it_and_must_be_of_this_project() -> None:
    assert key_of(f"{PROJECT}:plan-1", PROJECT) == "plan-1"
    assert key_of("plan-1", PROJECT) == "plan-1"
    assert key_of("urn:plan:1", PROJECT) == "urn:plan:1"
    assert key_of(f"{OTHER}:plan-1", PROJECT) is None


def an_event(type_: str, **data: object) -> Event:
    return Event(
        id="1",
        type=type_,
        project_id=PROJECT,
        created_at="",
        body={"data": data},
        position=Position(A, 0),
        key="k",
        timestamp_ms=0,
    )


@pytest.mark.parametrize(
    ("event", "taken"),
    [
        (an_event("vehicle.position", vehicle_id="v1"), True),
        (an_event("vehicle.updated", id="v1"), True),
        (an_event("route.started", id="r1", vehicle_id="v1"), True),
        (an_event("route.started", id="v1"), False),
        (an_event("vehicle.position", vehicle_id="v2"), False),
        (an_event("plan.created"), False),
    ],
)
def test_a_vehicles_day_is_what_names_it_wherever_it_stands(event: Event, *, taken: bool) -> None:
    assert Wanted(vehicle_id="v1").takes(event) is taken
    assert Wanted().takes(event)
    assert not Wanted(key="other").takes(event)


def test_a_rate_spreads_events_and_does_not_make_up_for_a_pause() -> None:
    pace = Pace(rate=10, speed=None)
    assert pace.wait(0, 100.0) == 0
    pace.sent(100.0)
    assert pace.wait(0, 100.0) == pytest.approx(0.1)
    assert pace.wait(0, 105.0) == 0
    pace.sent(105.0)
    assert pace.wait(0, 105.0) == pytest.approx(0.1)


def test_a_speed_keeps_the_rhythm_of_the_day() -> None:
    pace = Pace(rate=None, speed=60)
    assert pace.wait(1_000_000, 5.0) == 0
    assert pace.wait(1_060_000, 5.0) == pytest.approx(1.0)
    assert pace.wait(1_060_000, 6.5) == 0
    pace.missed()
    assert pace.wait(1_120_000, 9.0) == 0
