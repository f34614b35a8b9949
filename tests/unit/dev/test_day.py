"""The simulated day hangs together: an integration that works on it has seen what a real one brings."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime

import jsonschema_rs

from services import catalogue
from services.dev.day import STOPS, Day, Told

VANS = 3


def a_day(seed: int = 7, vehicles: int = VANS) -> list[Told]:
    day = Day(vehicles=vehicles, seed=seed, day=date(2026, 3, 17), zone=UTC)
    return list(day.events())


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    assert a_day() == a_day()
    assert a_day() != a_day(seed=8)


def test_each_event_has_the_shape_of_the_catalogue_and_an_id_of_its_own() -> None:
    told = a_day()
    validators = {
        type_: jsonschema_rs.validator_for(schema)
        for type_, schema in catalogue.data_schemas().items()
    }
    for each in told:
        validators[each.event["type"]].validate(each.event["data"])
    assert len({each.event["id"] for each in told}) == len(told)


def test_the_day_is_told_in_the_order_in_which_it_is_produced() -> None:
    moments = [each.at for each in a_day()]
    assert moments == sorted(moments)


def test_a_day_begins_with_its_plan_and_ends_with_it() -> None:
    types = [each.event["type"] for each in a_day()]
    assert types[0] == "plan.created"
    assert types[-1] == "plan.status_changed"
    counts = Counter(types)
    assert counts["route.started"] == counts["route.finished"] == VANS
    for type_ in ("stop.created", "stop.assigned", "stop.approaching", "stop.arrived"):
        assert counts[type_] == VANS * STOPS, type_
    assert counts["stop.report.canceled"] == 1
    assert counts["stop.report.completed"] == VANS * STOPS - 1


def test_one_phone_is_offline_and_what_it_kept_comes_late_its_photos_later_still() -> None:
    told = a_day()
    late = [each for each in told if each.event.get("meta", {}).get("late")]
    assert {each.event["type"] for each in late} >= {"vehicle.position", "stop.report.completed"}
    assert len({each.event["data"].get("vehicle_id") for each in late} - {None}) == 1
    for each in late:
        assert datetime.fromisoformat(each.event["created_at"]) < each.at
    reports = {
        each.event["data"]["report"]["id"]: each for each in late if "report" in each.event["data"]
    }
    media = [each for each in told if each.event["type"] == "stop.report.media_added"]
    assert {each.event["data"]["report_id"] for each in media} == set(reports)
    for each in media:
        assert each.at > reports[each.event["data"]["report_id"]].at
        assert "images" not in reports[each.event["data"]["report_id"]].event["data"]["report"]
    counts = Counter(each.event["type"] for each in told)
    assert counts["vehicle.offline"] == counts["vehicle.online"] == 1


def test_a_van_drives_at_a_vans_pace_and_its_positions_are_numbered() -> None:
    paths: dict[str, list[dict[str, float]]] = {}
    for each in sorted(a_day(), key=lambda each: each.event["created_at"]):
        if each.event["type"] == "vehicle.position":
            data = each.event["data"]
            paths.setdefault(data["vehicle_id"], []).append(data["position"])
    assert len(paths) == VANS
    for path in paths.values():
        assert [point["seq"] for point in path] == list(range(1, len(path) + 1))
        for one, other in itertools.pairwise(path):
            degrees = abs(one["lat"] - other["lat"]) + abs(one["lng"] - other["lng"])
            assert degrees < 0.004, "no van flies"
