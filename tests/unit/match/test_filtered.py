"""Subscriptions with filters, as workers hold them."""

from datetime import UTC, datetime

import orjson

from services.kernel.event import Event
from services.kernel.geofence import Geofence
from services.kernel.ids import GeofenceId, ProjectId
from services.kernel.subscription import Subscription
from services.match.fences import Fences
from services.match.index import Matcher
from tests.support.factories import PROJECT, a_subscription, an_event

FENCE = GeofenceId("5e208446c97efa37d4830b09")
WITHIN = {"data": {"position": [{"geo-within": {"geofence": FENCE}}]}}
FINISHED = {"data": {"status": ["finished"]}}


def with_filter(written: object, *types: str, id_: str = "0" * 24) -> Subscription:
    text = written if isinstance(written, str) else orjson.dumps(written).decode()
    return a_subscription(*types, id_=id_, filter=text)


def asked(matcher: Matcher, event: Event) -> list[str]:
    return [match.subscription.id for match in matcher.match(event)]


def a_plan(status: str) -> Event:
    return an_event("plan.created", data={"status": status})


def a_position(lat: float) -> Event:
    return an_event("vehicle.position", data={"position": {"lat": lat, "lng": 2.1}})


def a_geofence(lat: float, *, enabled: bool = True) -> Geofence:
    at = datetime(2026, 3, 17, tzinfo=UTC)
    return Geofence(
        id=FENCE,
        project_id=ProjectId(PROJECT),
        label="x",
        area={"circle": {"center": {"lat": lat, "lng": 2.1}, "radius_m": 1000}},
        enabled=enabled,
        changed_at=at,
        created_at=at,
        updated_at=at,
    )


def test_a_filter_takes_what_it_asks_for_and_keeps_the_order() -> None:
    matcher = Matcher()
    filtered, plain = with_filter(FINISHED, "plan.*"), a_subscription("*", id_="1" * 24)
    matcher.replace_all([filtered, plain])
    assert asked(matcher, a_plan("finished")) == [filtered.id, plain.id]
    assert asked(matcher, a_plan("planning")) == [plain.id]
    assert asked(matcher, an_event("route.created")) == [plain.id]


def test_a_changed_filter_holds_from_the_next_event_on() -> None:
    matcher = Matcher()
    matcher.replace_all([with_filter(FINISHED, "plan.*")])
    assert asked(matcher, a_plan("planning")) == []
    matcher.apply([with_filter({"data": {"status": ["planning"]}}, "plan.*")], [])
    assert asked(matcher, a_plan("planning")) == ["0" * 24]
    matcher.apply([a_subscription("plan.*", id_="0" * 24)], [])
    assert asked(matcher, a_plan("anything")) == ["0" * 24]


def test_a_changed_geofence_holds_from_the_next_event_on() -> None:
    matcher = Matcher()
    matcher.replace_all([with_filter(WITHIN, "vehicle.position")])
    assert asked(matcher, a_position(41.4)) == []
    matcher.set_fences(ProjectId(PROJECT), Fences.of([a_geofence(41.4)]))
    assert asked(matcher, a_position(41.4)) == ["0" * 24]
    matcher.set_fences(ProjectId(PROJECT), Fences.of([a_geofence(42.4)]))
    assert asked(matcher, a_position(41.4)) == []
    matcher.set_fences(ProjectId(PROJECT), Fences.of([a_geofence(41.4, enabled=False)]))
    assert asked(matcher, a_position(41.4)) == []
    matcher.set_fences(ProjectId(PROJECT), Fences.of([]))
    assert asked(matcher, a_position(41.4)) == []


def test_a_broken_filter_matches_nothing_and_is_told_once_per_entry() -> None:
    told: list[Subscription] = []
    matcher = Matcher(on_broken=told.append)
    broken = with_filter('{"$xor": []}', "plan.*")
    unreadable = with_filter("no json", "plan.*", id_="1" * 24)
    matcher.replace_all([broken, unreadable])
    assert asked(matcher, a_plan("planning")) == []
    assert asked(matcher, a_plan("planning")) == []
    assert told == [broken, unreadable]
