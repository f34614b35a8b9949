"""Plans and routes go out slim; what is asked for is kept up to the size limit."""

import copy
import json

import orjson
import pytest

from services.kernel.event import Event, Json
from services.kernel.subscription import Profile
from services.render import render
from tests.support.factories import an_event

STOPS = [{"id": f"s{n}"} for n in range(3)]
ROUTES = [{"id": "r1", "stops": STOPS}, {"id": "r2"}]
PLAN = {"id": "p", "stops": STOPS, "routes": ROUTES, "total_stops": 3}
PLENTY = 262_144


def sent(
    event: Event,
    *expand: str,
    max_bytes: int = PLENTY,
    profile: Profile = Profile.PLANNER_2022,
    asked: str | None = None,
) -> Json:
    before = copy.deepcopy(event.body)
    rendered = render(
        event, profile=profile, asked=asked or event.type, expand=expand, max_bytes=max_bytes
    )
    assert event.body == before, "what others are sent too was changed"
    found: Json = json.loads(rendered.body)
    return found


@pytest.mark.parametrize("type_", ["plan.created", "plan.updated", "plan.deleted", "plan.new"])
def test_a_plan_goes_out_without_what_the_producer_embedded(type_: str) -> None:
    assert sent(an_event(type_, data=PLAN))["data"] == {"id": "p", "total_stops": 3}


@pytest.mark.parametrize("type_", ["route.created", "route.finished"])
def test_a_route_goes_out_without_its_stops(type_: str) -> None:
    data = {"id": "r", "stops": STOPS, "plan_id": "p"}
    assert sent(an_event(type_, data=data))["data"] == {"id": "r", "plan_id": "p"}


def test_so_do_entities_within_the_data() -> None:
    optimized = {"plan": PLAN, "unassigned_stops": ["s9"], "duration_ms": 5}
    assert sent(an_event("plan.optimized", data=optimized))["data"] == {
        "plan": {"id": "p", "total_stops": 3},
        "unassigned_stops": ["s9"],
        "duration_ms": 5,
    }
    route = {"route": {"id": "r", "stops": STOPS}, "unassigned_stops": []}
    assert sent(an_event("route.optimized", data=route))["data"] == {
        "route": {"id": "r"},
        "unassigned_stops": [],
    }


def test_so_do_the_previous_values() -> None:
    event = an_event("plan.updated", data=PLAN, previous={"label": "old", "stops": STOPS})
    assert sent(event)["previous"] == {"label": "old"}
    assert sent(event, "stops")["previous"] == {"label": "old", "stops": STOPS}


def test_the_keys_are_absent_not_empty() -> None:
    data = sent(an_event("plan.created", data={"id": "p", "stops": [], "routes": []}))["data"]
    assert data == {"id": "p"}


@pytest.mark.parametrize("type_", ["stop.created", "vehicle.updated", "planet.created"])
def test_other_families_keep_fields_of_these_names(type_: str) -> None:
    data = {"id": "x", "stops": STOPS, "routes": ROUTES}
    assert sent(an_event(type_, data=data))["data"] == data


def test_ids_and_counts_are_not_heavy() -> None:
    data = {"id": "p", "route_ids": ["r"], "stop_ids": ["s"], "total_routes": 1, "total_stops": 1}
    assert sent(an_event("plan.deleted", data=data))["data"] == data


def test_what_is_asked_for_is_kept() -> None:
    event = an_event("plan.created", data=PLAN)
    assert sent(event, "stops", "routes") == event.body
    assert sent(event, "routes", "stops") == event.body


def test_stops_alone_come_without_routes() -> None:
    assert sent(an_event("plan.created", data=PLAN), "stops")["data"] == {
        "id": "p",
        "stops": STOPS,
        "total_stops": 3,
    }


def test_routes_alone_come_without_the_stops_embedded_in_them() -> None:
    event = an_event("plan.optimized", data={"plan": PLAN})
    assert sent(event, "routes")["data"] == {
        "plan": {"id": "p", "routes": [{"id": "r1"}, {"id": "r2"}], "total_stops": 3}
    }


def test_up_to_the_limit_it_is_kept_and_beyond_it_is_left_out_and_said() -> None:
    event = an_event("plan.created", data=PLAN)
    size = len(orjson.dumps(event.body))
    assert sent(event, "stops", "routes", max_bytes=size) == event.body
    assert sent(event, "stops", "routes", max_bytes=size - 1) == {
        **event.body,
        "data": {"id": "p", "total_stops": 3},
        "meta": {"truncated": True},
    }


@pytest.mark.parametrize("meta", [None, {"origin": "app"}])
def test_truncation_is_told_beside_the_producers_meta(meta: Json | None) -> None:
    event = an_event("plan.created", data=PLAN, meta=meta)
    assert sent(event, "stops", max_bytes=10)["meta"] == {**(meta or {}), "truncated": True}


def test_truncation_and_an_older_name_are_told_together() -> None:
    event = an_event("route.created", data={"id": "r", "stops": STOPS})
    assert sent(event, "stops", max_bytes=10, asked="driver.created")["meta"] == {
        "truncated": True,
        "canonical_type": "route.created",
    }


def test_a_body_that_is_large_without_them_is_not_called_truncated() -> None:
    event = an_event("plan.created", data={"id": "p", "label": "x" * 1_000})
    assert sent(event, "stops", "routes", max_bytes=100) == event.body


def test_nobody_who_did_not_ask_is_told_of_truncation() -> None:
    assert "meta" not in sent(an_event("plan.created", data=PLAN), max_bytes=10)


@pytest.mark.parametrize(
    ("profile", "heavy"),
    [
        (Profile.PLANNER_V2, {"stops", "drivers"}),
        (Profile.HIGHWAY_V1, {"services", "routes"}),
        (Profile.ROUTAL_2, {"stops", "routes"}),
        (Profile.CLOUDEVENTS, {"stops", "routes"}),
        (Profile.STANDARD_WEBHOOKS, {"stops", "routes"}),
    ],
)
def test_every_profile_is_slimmed_and_expanded_alike(profile: Profile, heavy: set[str]) -> None:
    event = an_event("plan.created", data=PLAN)
    assert not heavy & {*sent(event, profile=profile)["data"]}
    assert heavy <= {*sent(event, "stops", "routes", profile=profile)["data"]}
    assert not heavy & {*sent(event, "stops", "routes", profile=profile, max_bytes=10)["data"]}


def test_the_limit_is_of_the_bytes_that_are_sent() -> None:
    event = an_event("plan.created", data=PLAN)
    size = len(
        render(
            event,
            profile=Profile.STANDARD_WEBHOOKS,
            asked=event.type,
            expand=("stops", "routes"),
            max_bytes=PLENTY,
        ).body
    )
    assert size < len(orjson.dumps(event.body))
    both = {"profile": Profile.STANDARD_WEBHOOKS, "max_bytes": size}
    assert "stops" in sent(event, "stops", "routes", **both)["data"]


@pytest.mark.parametrize("odd", [None, 5, "x", [], [1, None]])
def test_fields_of_an_unexpected_kind_do_no_harm(odd: object) -> None:
    event = an_event("plan.created", data={"plan": odd, "routes": odd}, previous=odd)
    assert sent(event)["data"] == {"plan": odd}
    assert sent(event, "routes")["data"] == {"plan": odd, "routes": odd}
