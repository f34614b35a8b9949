"""What people look for an event by is found wherever the catalogue's shapes have it."""

import pytest

from services.kernel.about import NOTHING, About, about, together, types_of
from tests.support.factories import KNOWN, an_event, an_example

PLAN, ROUTE = "5e208446c97efa37d4830b03", "5e208446c97efa37d4830b04"
VEHICLE, STOP = "5e208446c97efa37d4830b05", "5e208446c97efa37d4830b06"
ELSEWHERE = {"route.survey.submitted": "route", "stop.survey.submitted": "stop"}
"""Of these families the data has no plan, though their key is one."""


@pytest.mark.parametrize("type_", sorted(KNOWN))
def test_an_event_is_found_by_the_entity_that_its_type_names(type_: str) -> None:
    found = about(an_example(type_))
    family = type_.partition(".")[0]
    own = {"plan": found.plan_id, "route": found.route_id, "stop": found.stop_id}
    expected = {"plan": PLAN, "route": ROUTE, "stop": STOP}
    assert found.type == type_
    assert own.get(family) == expected.get(family)
    if family == "vehicle":
        assert found.vehicle_id == VEHICLE
    if family in ("route", "stop") and type_ not in ELSEWHERE:
        assert found.plan_id == PLAN


def test_a_report_is_found_by_all_ids_of_its_stop() -> None:
    expected = About("stop.report.completed", PLAN, ROUTE, STOP, VEHICLE, "ORD-2022-58291")
    assert about(an_example("stop.report.completed")) == expected


def test_a_stop_taken_off_a_route_is_found_by_the_route_it_was_on() -> None:
    data = {"stop": {"id": STOP, "route_id": None}, "from_route_id": ROUTE, "to_route_id": None}
    assert about(an_event("stop.assigned", data=data)).route_id == ROUTE


def test_a_stop_back_in_the_pool_is_found_by_the_plan_it_was_in() -> None:
    data = {"stop": {"id": STOP}, "from_plan_id": PLAN, "to_plan_id": None}
    assert about(an_event("stop.moved", data=data)).plan_id == PLAN


@pytest.mark.parametrize("id_", [17, True, {"id": "a"}, ["a"], "x" * 257, 1.5])
def test_what_is_no_id_is_left_out_and_costs_nothing_else(id_: object) -> None:
    data = {"plan_id": PLAN, "external_id": id_, "vehicle_id": id_}
    assert about(an_event("route.delayed", data=data)) == About("route.delayed", PLAN)


def test_a_batch_is_about_what_its_events_share_and_is_found_by_each_of_them() -> None:
    one = About("stop.completed", PLAN, ROUTE, STOP, VEHICLE, "ORD-1")
    other = About("stop.completed", PLAN, None, "s-2", VEHICLE, "ORD-1")
    found = together(["e-1", "e-2"], [one, other])
    assert found[:6] == ("stop.completed", PLAN, None, None, VEHICLE, "ORD-1")
    assert set(found.also) == {"e:e-1", "e:e-2", f"r:{ROUTE}", f"s:{STOP}", "s:s-2"}


def test_a_batch_of_several_types_has_none_and_is_found_by_each() -> None:
    found = together(["e-1", "e-2"], [About("plan.created"), About("route.started")])
    assert (found.type, types_of(found.also)) == ("", ["plan.created", "route.started"])
    assert together(["e-1"], [About("plan.created")]) == About("plan.created", also=("e:e-1",))


def test_of_what_is_no_event_of_the_log_nothing_is_known() -> None:
    assert About(type="") == NOTHING
