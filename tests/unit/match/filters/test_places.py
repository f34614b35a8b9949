"""Filters of place: both evaluators agree, and an edited geofence counts from the next event on."""

import json
import random
from datetime import UTC, datetime

from services.kernel.event import Json
from services.kernel.geofence import Geofence
from services.kernel.ids import GeofenceId, ProjectId
from services.match.fences import Fence, Fences
from services.match.filters import Filter, check, explain, matches
from services.match.filters.bitmap import build
from services.match.filters.places import Held
from services.match.geometry import Circle
from services.match.index import Matcher
from tests.support.factories import PROJECT, a_subscription, an_event

IDS = ["a", "b", "c", "d"]


def a_circle(chance: random.Random) -> Json:
    center = {"lat": chance.choice([0, 1, 2]), "lng": chance.choice([0, 1, 2])}
    return {"circle": {"center": center, "radius_m": chance.choice([1_000, 120_000, 200_000])}}


def an_area(chance: random.Random) -> Json:
    x, y = chance.choice([0, 1]), chance.choice([0, 1])
    ring = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1], [x, y]]
    return chance.choice(
        [
            a_circle(chance),
            {"polygon": {"type": "Polygon", "coordinates": [ring]}},
            {"geofence": chance.choice(IDS)},
            {"geofence": chance.sample(IDS, 2)},
        ]
    )


def a_filter(chance: random.Random) -> Filter:
    leaf = [
        {chance.choice(["geo-within", "geo-outside"]): an_area(chance)}
        for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    rule: Json = {"p": leaf}
    if chance.random() < 0.3:
        rule = {"$or": [rule, {"p": [{"geo-within": an_area(chance)}]}, {"q": ["x"]}]}
    tree = check(rule, types=[], geofences=None, schema=False).tree
    assert tree is not None
    return tree


def some_fences(chance: random.Random) -> Fences:
    """Return some of the fences, some of them disabled."""
    return Fences(
        Fence(id_, Circle(chance.choice([0, 1, 2]), chance.choice([0, 1]), 150_000), enabled)
        for id_ in chance.sample(IDS, chance.randint(0, 4))
        for enabled in [chance.random() < 0.8]
    )


def a_position(chance: random.Random) -> object:
    lat, lng = chance.choice([0, 0.5, 1, 1.5, 3]), chance.choice([0, 0.5, 1, 2])
    return chance.choice(
        [
            {"lat": lat, "lng": lng},
            {"lat": lat, "lng": lng},
            {"type": "Point", "coordinates": [lng, lat]},
            [{"lat": lat, "lng": lng}, {"lat": 5, "lng": 5}, 7],
            {"lat": None, "lng": lng},
            "nowhere",
            None,
            [],
        ]
    )


def test_both_evaluators_and_the_explanation_agree_while_fences_come_and_go() -> None:
    chance = random.Random(1)
    filters = [a_filter(chance) for _ in range(150)]
    held = Held()
    tree = build([each.rows for each in filters], held)
    matched = 0
    for _ in range(60):
        held.fences = some_fences(chance)  # the tree stays as it is
        for _ in range(3):
            event = {"p": a_position(chance), "q": chance.choice(["x", "y"])}
            expected = [n for n, each in enumerate(filters) if matches(each, event, held.fences)]
            assert tree.match(event, tree.every) == expected, event
            explained = [
                n for n, f in enumerate(filters) if explain(f, event, fences=held.fences).matched
            ]
            assert explained == expected
            matched += len(expected)
    assert matched > 2_000


def a_fence(radius: float, *, enabled: bool = True) -> Geofence:
    now = datetime(2026, 3, 17, tzinfo=UTC)
    return Geofence(
        id=GeofenceId("a"),
        project_id=ProjectId(PROJECT),
        label="Depot",
        area={"circle": {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": radius}},
        enabled=enabled,
        changed_at=now,
        created_at=now,
        updated_at=now,
    )


def told(matcher: Matcher) -> tuple[int, int]:
    """Return how many want an event 1 km off because it is within, and because it is outside."""
    position = {"lat": 41.409, "lng": 2.17}
    found = matcher.match(an_event("vehicle.position", data={"position": position}))
    within = sum("within" in (match.subscription.filter or "") for match in found)
    return within, len(found) - within


def test_an_edit_of_a_fence_counts_at_the_next_event_for_few_filters_and_for_many() -> None:
    for count in (1, 20):
        subscriptions = [
            a_subscription(
                "vehicle.position",
                id_=f"{n:023x}{side}",
                filter=json.dumps({"data": {"position": [{operator: {"geofence": "a"}}]}}),
            )
            for n in range(count)
            for side, operator in enumerate(["geo-within", "geo-outside"])
        ]
        matcher = Matcher()
        matcher.replace_all(subscriptions)
        assert told(matcher) == (0, 0), "a fence that isn't there is neither"
        matcher.set_fences(ProjectId(PROJECT), Fences.of([a_fence(500)]))
        assert told(matcher) == (0, count)
        matcher.set_fences(ProjectId(PROJECT), Fences.of([a_fence(5_000)]))
        assert told(matcher) == (count, 0)
        matcher.apply(subscriptions[:1], [])
        matcher.set_fences(ProjectId(PROJECT), Fences.of([a_fence(500)]))
        assert told(matcher) == (0, count)
        matcher.set_fences(ProjectId(PROJECT), Fences.of([a_fence(500, enabled=False)]))
        assert told(matcher) == (0, 0), "nor is a disabled one"


def test_an_explanation_tells_how_far_the_border_is() -> None:
    area = {"circle": {"center": {"lat": 41.4, "lng": 2.17}, "radius_m": 500}}
    tree = check({"p": [{"geo-within": area}]}, types=[], geofences=None, schema=False).tree
    assert tree is not None
    (branch,) = explain(tree, {"p": {"lat": 41.409, "lng": 2.17}}).branches
    (miss,) = branch.misses
    assert miss.pointer == "/filter/p"
    assert miss.metres is not None
    assert abs(miss.metres - 500.8) < 1
    assert miss.note == "501 m outside the border"
