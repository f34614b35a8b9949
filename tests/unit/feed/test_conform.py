"""An event that breaks its type's schema is delivered; it is counted, and said once."""

import copy

import pytest
from structlog.testing import capture_logs

from services import catalogue
from services.feed import conform
from services.feed.conform import Conformity
from services.kernel.event import Event, Json
from services.observe import metrics
from tests.support.factories import PROJECT, an_event, an_example

OTHER = "5e208446c97efa37d4830bff"


class Counted:
    """What a block of code counted."""

    def __init__(self) -> None:
        self._before = self._now()

    def since(self) -> tuple[float, float]:
        """Return (violations, unknown types) counted since."""
        violations, unknown = self._now()
        return violations - self._before[0], unknown - self._before[1]

    def _now(self) -> tuple[float, float]:
        return metrics.SCHEMA_VIOLATIONS._value.get(), metrics.UNKNOWN_TYPES._value.get()


def checked(*events: Event) -> tuple[tuple[float, float], list[dict[str, object]]]:
    """Return what was counted, and what was said."""
    counted, conformity = Counted(), Conformity()
    with capture_logs() as said:
        for event in events:
            conformity.check(event)
    return counted.since(), said


def data_of(type_: str, **fields: object) -> Json:
    return {**copy.deepcopy(catalogue.examples()[type_]["data"]), **fields}


def test_every_example_holds_to_its_schema() -> None:
    events = [an_example(type_) for type_ in catalogue.event_types()]
    assert checked(*events) == ((0, 0), [])


@pytest.mark.parametrize(
    ("type_", "data", "pointer"),
    [
        ("plan.created", data_of("plan.created", status="asleep"), "/data/status"),
        ("plan.created", {"id": 5}, "/data"),
        ("vehicle.position", {"position": {"lat": 1, "lng": 2}}, "/data"),
        (
            "stop.report.completed",
            data_of("stop.report.completed", stop={"id": "x"}),
            "/data/stop",
        ),
    ],
)
def test_what_breaks_the_schema_is_counted_and_said_with_its_place(
    type_: str, data: Json, pointer: str
) -> None:
    counted, said = checked(an_event(type_, data=data))
    assert counted == (1, 0)
    (line,) = said
    assert (line["event"], line["log_level"]) == ("event_breaks_schema", "warning")
    assert (line["type"], line["project_id"]) == (type_, PROJECT)
    assert line["position"] == "planner.events/3@7"
    assert str(line["pointer"]).startswith(pointer)


def test_the_log_names_the_place_and_never_the_value() -> None:
    event = an_event("plan.created", data=data_of("plan.created", status="Marta Puig, 3rd floor"))
    _, said = checked(event)
    assert "Marta" not in str(said)


def test_a_slip_is_counted_each_time_and_said_once_per_type_and_project() -> None:
    plan, route = (an_event(type_, data={}) for type_ in ("plan.created", "route.created"))
    other = an_event("plan.created", data={}, project=OTHER)
    counted, said = checked(plan, plan, route, other, plan, route)
    assert counted == (6, 0)
    assert [(line["type"], line["project_id"]) for line in said] == [
        ("plan.created", PROJECT),
        ("route.created", PROJECT),
        ("plan.created", OTHER),
    ]


def test_a_type_that_nobody_knows_is_counted_apart_from_slips() -> None:
    counted, said = checked(an_event("vehicle.teleported"), an_event("vehicle.teleported"))
    assert counted == (0, 2)
    assert [line["event"] for line in said] == ["event_type_unknown"]


def test_a_long_unknown_name_does_not_fill_the_log() -> None:
    _, (line,) = checked(an_event("x" * 256))
    assert line["type"] == "x" * 128


def test_what_was_said_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conform, "MAX_SAID", 3)
    counted, said = checked(*(an_event(f"vehicle.odd{n}") for n in range(10)))
    assert (counted, len(said)) == ((0, 10), 3)


def test_the_event_is_left_as_it_is() -> None:
    event = an_event("plan.created", data={"status": 5, "stops": [{}]})
    before = copy.deepcopy(event.body)
    checked(event)
    assert event.body == before
