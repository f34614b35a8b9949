"""Which events exist, how they were called before, and where they go."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from services import catalogue
from services.catalogue import OLDER, canonical, event_types, nearest, record_key, unknown
from tests.support.factories import PROJECT, a_body

TYPES = sorted(event_types())


@pytest.mark.parametrize("name", ["catalogue.json", "schema.json", "examples.json"])
def test_what_is_shipped_is_the_catalogue_that_was_agreed_on(shared: Path, name: str) -> None:
    assert catalogue.read(name) == json.loads((shared / "events" / name).read_bytes())


def test_there_are_fifty_two_types_and_two_of_them_are_streams() -> None:
    assert len(TYPES) == 52
    assert [type_ for type_ in TYPES if catalogue.is_stream(type_)] == [
        "route.track",
        "vehicle.position",
    ]


@pytest.mark.parametrize("type_", TYPES)
def test_each_type_says_what_it_means_when_it_comes_and_when_not(type_: str) -> None:
    known = event_types()[type_]
    assert known.meaning.endswith(".")
    assert len(known.meaning) < 100
    assert known.when
    assert known.not_when


@pytest.mark.parametrize("type_", TYPES)
def test_each_field_of_each_type_says_what_it_means(type_: str) -> None:
    assert list(_unexplained(catalogue.data_schemas()[type_])) == []


def test_nothing_is_explained_that_there_is_not() -> None:
    told = catalogue.read("meanings.json")
    assert set(told["types"]) == set(TYPES)
    assert set(told["fields"]) <= {"*", *TYPES, *catalogue.schema()["$defs"]}


def _unexplained(part: object, path: str = "") -> Iterator[str]:
    if isinstance(part, list):
        for each in part:
            yield from _unexplained(each, path)
    elif isinstance(part, dict):
        for name, field in part.get("properties", {}).items():
            if isinstance(field, dict) and not field.get("description"):
                yield f"{path}.{name}"
            yield from _unexplained(field, f"{path}.{name}")
        for name, each in part.items():
            if name not in {"properties", "Event"}:
                yield from _unexplained(each, path if name == "$defs" else f"{path}/{name}")


def test_a_type_that_nobody_knows_is_no_stream() -> None:
    assert not catalogue.is_stream("vehicle.teleported")


@pytest.mark.parametrize("type_", TYPES)
def test_todays_name_is_its_own_canonical_name(type_: str) -> None:
    assert canonical(type_) == type_


@pytest.mark.parametrize("type_", TYPES)
def test_every_older_name_of_the_catalogue_becomes_todays(type_: str) -> None:
    for alias in event_types()[type_].aliases:
        assert canonical(alias) == type_


@pytest.mark.parametrize("type_", TYPES)
def test_every_type_with_an_older_family_has_its_older_name_in_the_catalogue(type_: str) -> None:
    expected = tuple(
        old + type_.removeprefix(new) for old, new in OLDER.items() if type_.startswith(new)
    )
    assert event_types()[type_].aliases == expected


@pytest.mark.parametrize(
    ("written", "today"),
    [
        ("driver.started", "route.started"),
        ("service.report.completed", "stop.report.completed"),
        ("client.created", "customer.created"),
        ("routal.planner.2.plan.created", "plan.created"),
        ("routal.planner.2.stop.report.completed", "stop.report.completed"),
        ("routal.planner.2.driver.started", "route.started"),
        ("service.not.yet.invented", "stop.not.yet.invented"),
        ("service.report", "stop.report"),
        ("drivers.started", "drivers.started"),
        ("plan.driver.started", "plan.driver.started"),
        ("driver", "driver"),
    ],
)
def test_an_older_name_is_turned_into_todays_and_others_stay(written: str, today: str) -> None:
    assert canonical(written) == today


def test_both_umbrellas_are_the_three_reports_and_not_the_media() -> None:
    three = {"stop.report.completed", "stop.report.incomplete", "stop.report.canceled"}
    assert catalogue.umbrellas() == {"stop.report": three, "service.report": three}


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("stop.report.complete", "stop.report.completed"),
        ("plan.create", "plan.created"),
        ("servce.report", "service.report"),
        ("driver.startd", "driver.started"),
        ("vehicle.positions", "vehicle.position"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_name_is_what_was_meant(mistyped: str, meant: str | None) -> None:
    assert nearest(mistyped) == meant


def test_an_umbrella_is_no_type_of_an_event_and_its_types_are_named() -> None:
    for umbrella in ("stop.report", "service.report"):
        assert unknown(umbrella).endswith(
            "name one of stop.report.canceled, stop.report.completed, stop.report.incomplete"
        )
    assert unknown("stop.reprt.completed").endswith("did you mean 'stop.report.completed'?")
    assert unknown("zzz") == "no event type 'zzz'"


@pytest.mark.parametrize("type_", TYPES)
def test_every_example_is_valid_for_its_types_schema_and_for_the_whole_one(type_: str) -> None:
    example = catalogue.examples()[type_]
    assert example["type"] == type_
    assert jsonschema_rs.Draft202012Validator(catalogue.schema()).is_valid(example)
    assert jsonschema_rs.Draft202012Validator(catalogue.data_schemas()[type_]).is_valid(
        example["data"]
    )


def test_every_type_has_a_schema_that_refuses_something() -> None:
    assert sorted(catalogue.data_schemas()) == TYPES
    for type_, schema in catalogue.data_schemas().items():
        assert not jsonschema_rs.Draft202012Validator(schema).is_valid({}), type_


@pytest.mark.parametrize("type_", TYPES)
def test_the_key_of_every_example_is_the_one_it_names(type_: str) -> None:
    example = catalogue.examples()[type_]
    assert record_key(example) == f"{example['project_id']}:{example['meta']['ordering_key']}"


SURVEYS = {"route.survey.submitted", "stop.survey.submitted"}


@pytest.mark.parametrize("type_", sorted({*TYPES} - SURVEYS))
def test_the_key_is_found_in_the_data_where_the_producer_names_none(type_: str) -> None:
    example = copy.deepcopy(catalogue.examples()[type_])
    told = example.pop("meta")["ordering_key"]
    assert record_key(example) == f"{PROJECT}:{told}"


@pytest.mark.parametrize(
    ("type_", "data", "key"),
    [
        ("stop.created", {"id": "s", "plan_id": "p"}, "p"),
        ("stop.created", {"id": "s", "plan_id": None}, "s"),
        ("stop.deleted", {"id": "s", "route_id": "r"}, "s"),
        ("stop.moved", {"stop": {"id": "s"}, "from_plan_id": "f", "to_plan_id": "t"}, "t"),
        ("stop.moved", {"stop": {"id": "s"}, "from_plan_id": "f", "to_plan_id": None}, "f"),
        ("stop.report.completed", {"report": {"id": "r"}, "stop": {"plan_id": "p"}}, "p"),
        ("plan.optimized", {"plan": {"id": "p"}}, "p"),
        ("plan.progress", {"plan_id": "p"}, "p"),
        ("route.optimized", {"route": {"id": "r", "plan_id": "p"}}, "p"),
        ("customer.created", {"id": "c"}, "c"),
        ("geofence.updated", {"id": "g"}, "g"),
        ("vehicle.updated", {"id": "v"}, "v"),
        ("vehicle.position", {"vehicle_id": "v", "route_id": "r"}, "v"),
        ("vehicle.position", {"route_id": "r"}, "r"),
        ("route.track", {"vehicle_id": "", "route_id": "r"}, "r"),
        ("webhook.ping", {"subscription_id": "w"}, "w"),
    ],
)
def test_the_key_is_the_first_field_of_the_catalogue_that_is_there(
    type_: str, data: dict[str, object], key: str
) -> None:
    assert record_key(a_body(type_, data=data)) == f"{PROJECT}:{key}"


def test_a_key_that_the_producer_names_wins() -> None:
    event = a_body("plan.progress", data={"plan_id": "p"}, meta={"ordering_key": "own"})
    assert record_key(event) == f"{PROJECT}:own"


@pytest.mark.parametrize("meta", [None, {}, {"ordering_key": None}, {"ordering_key": ""}])
def test_a_meta_that_names_no_key_is_as_good_as_none(meta: object) -> None:
    assert record_key(a_body("plan.progress", data={"plan_id": "p"}, meta=meta)) == f"{PROJECT}:p"


@pytest.mark.parametrize(
    ("type_", "data"),
    [
        ("route.survey.submitted", {"id": "s", "route_id": "r"}),
        ("stop.created", {"custom_fields": {"plan_id": "somebody's own"}}),
        ("vehicle.position", {"id": "of the point", "position": {}}),
        ("vehicle.teleported", {"vehicle_id": "v"}),
    ],
)
def test_no_key_is_made_up(type_: str, data: dict[str, object]) -> None:
    assert record_key(a_body(type_, data=data)) is None
