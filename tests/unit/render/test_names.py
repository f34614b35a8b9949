"""Older names of fields: keys change, values never, and nothing inside of custom fields."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kernel.event import Json
from services.render.names import HIGHWAY_V1, PLANNER_V2, Naming, renamed

TODAY = [
    *("route", "routes", "route_id", "route_ids", "from_route_id", "to_route_id", "total_routes"),
    *("routes_started", "stop", "stops", "stop_id", "stop_ids", "next_stop_id", "total_stops"),
    *("time_window", "time_windows", "default_time_window", "distance_to_next_stop", "driver_id"),
    *("driver", "service", "service_id", "timewindows", "survey", "label", "position"),
]


@pytest.mark.parametrize(
    ("today", "older"),
    [
        ("route", "driver"),
        ("routes", "drivers"),
        ("route_id", "driver_id"),
        ("route_ids", "driver_ids"),
        ("from_route_id", "from_driver_id"),
        ("to_route_id", "to_driver_id"),
        ("total_routes", "total_drivers"),
        ("routes_started", "drivers_started"),
        ("routes_finished", "drivers_finished"),
        # these stay
        ("stop", "stop"),
        ("stop_id", "stop_id"),
        ("time_windows", "time_windows"),
        ("total_stops", "total_stops"),
        ("driver_id", "driver_id"),
        ("routed", "routed"),
        ("reroute", "reroute"),
        ("route_identifier", "route_identifier"),
        ("subtotal_routes", "subtotal_routes"),
        ("Route", "Route"),
    ],
)
def test_for_planner_v2_a_route_is_a_driver(today: str, older: str) -> None:
    assert renamed({today: 1}, PLANNER_V2) == {older: 1}


@pytest.mark.parametrize(
    ("today", "older"),
    [
        ("stop", "service"),
        ("stops", "services"),
        ("stop_id", "service_id"),
        ("stop_ids", "service_ids"),
        ("next_stop_id", "next_service_id"),
        ("total_stops", "total_services"),
        ("completed_stops", "completed_services"),
        ("unassigned_stops", "unassigned_services"),
        ("time_window", "timewindow"),
        ("time_windows", "timewindows"),
        ("default_time_window", "default_timewindow"),
        ("default_time_windows", "default_timewindows"),
        ("distance_to_previous_stop", "distance_to_previous_location"),
        ("distance_to_next_stop", "distance_to_next_location"),
        # these stay
        ("route", "route"),
        ("route_id", "route_id"),
        ("stops_order", "stops_order"),
        ("stopped_at", "stopped_at"),
        ("nonstop", "nonstop"),
        ("my_time_window", "my_time_window"),
        ("distance_to_last_stop", "distance_to_last_stop"),
    ],
)
def test_for_highway_v1_a_stop_is_a_service(today: str, older: str) -> None:
    assert renamed({today: 1}, HIGHWAY_V1) == {older: 1}


def test_highway_v1_never_heard_of_driver_ids() -> None:
    assert renamed({"report": {"driver_id": "r", "id": "x"}}, HIGHWAY_V1) == {"report": {"id": "x"}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"route_id": 1, "driver_id": 2}, {"driver_id": 1}),
        ({"driver_id": 2, "route_id": 1}, {"driver_id": 2}),
        ({"driver": {"route": 3}, "route": 1}, {"driver": {"driver": 3}}),
    ],
)
def test_where_the_new_key_is_there_already_the_first_stays(data: Json, expected: Json) -> None:
    assert renamed(data, PLANNER_V2) == expected


def test_keys_are_renamed_at_any_depth_and_values_never() -> None:
    data = {"plan": {"routes": [{"route_id": "route", "x": [["routes", {"route": None}]]}]}}
    assert renamed(data, PLANNER_V2) == {
        "plan": {"drivers": [{"driver_id": "route", "x": [["routes", {"driver": None}]]}]}
    }


def test_surveys_keep_their_route_id_for_planner_v2() -> None:
    data = {"stop": {"survey": {"route_id": "r"}, "route_id": "r"}}
    assert renamed(data, PLANNER_V2) == {"stop": {"survey": {"route_id": "r"}, "driver_id": "r"}}


def test_the_order_of_fields_stays() -> None:
    data = {"id": 1, "stop_id": 2, "label": 3, "time_window": 4}
    assert list(renamed(data, HIGHWAY_V1)) == ["id", "service_id", "label", "timewindow"]


values = st.recursive(
    st.none() | st.integers() | st.sampled_from(TODAY),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*TODAY, "custom_fields"]), inner, max_size=4)
    ),
    max_leaves=12,
)
entities = st.dictionaries(st.sampled_from([*TODAY, "custom_fields"]), values, max_size=5)
namings = st.sampled_from([PLANNER_V2, HIGHWAY_V1])


@given(entities, entities, namings)
def test_custom_fields_are_untouched(data: Json, own: Json, naming: Naming) -> None:
    found = renamed({"custom_fields": own, "nested": [{"custom_fields": own}], **data}, naming)
    assert found["nested"] == [{"custom_fields": own}]
    assert found["custom_fields"] == data.get("custom_fields", own)


@given(entities, namings)
def test_what_is_renamed_is_a_copy(data: Json, naming: Naming) -> None:
    before = copy.deepcopy(data)
    renamed(data, naming)
    assert data == before


@given(entities, namings)
def test_renaming_twice_is_renaming_once(data: Json, naming: Naming) -> None:
    once = renamed(data, naming)
    assert renamed(once, naming) == once
