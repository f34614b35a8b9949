"""By what the requests of an ordered subscription go one after the other."""

import pytest

from services.kernel.retry import DEFAULT_SCHEDULE, ordered_schedule
from services.kernel.subscription import OrderBy, Ordered
from services.match.order_key import order_of
from tests.support.factories import a_subscription, an_event, an_example


def test_without_order_there_is_no_key() -> None:
    assert order_of(an_event(key="plan"), a_subscription()) is None


def test_the_records_key_is_the_default() -> None:
    ordered = a_subscription(ordered=Ordered.KEY)
    assert order_of(an_event(key="plan"), ordered) == "plan"
    assert order_of(an_event(key=None), ordered) is None


@pytest.mark.parametrize("type_", ["route.started", "stop.arrived"])
def test_the_route_of_an_event_is_found_where_the_catalogue_says(type_: str) -> None:
    event = an_example(type_)
    data = event.body["data"]
    found = order_of(event, a_subscription(ordered=Ordered.KEY, order_by=OrderBy.ROUTE))
    assert found != event.key
    assert found in {data.get("route_id"), data.get("id"), (data.get("route") or {}).get("id")}


def test_the_entity_is_what_the_type_begins_with() -> None:
    event = an_example("stop.arrived")
    found = order_of(event, a_subscription(ordered=Ordered.KEY, order_by=OrderBy.ENTITY))
    assert found is not None
    assert found in str(event.body["data"])
    assert found != event.key


def test_what_is_about_no_route_goes_by_the_records_key() -> None:
    event = an_event("plan.created", key="plan", data={"id": "x"})
    assert order_of(event, a_subscription(ordered=Ordered.KEY, order_by=OrderBy.ROUTE)) == "plan"


def test_the_default_schedule_of_what_holds_its_key_ends_after_two_hours() -> None:
    assert ordered_schedule(DEFAULT_SCHEDULE) == (5.0, 300.0, 1800.0, 7200.0)
