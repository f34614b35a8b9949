"""What an event about a geofence says."""

from datetime import UTC, datetime

import pytest

from services.dispatch.masters import news_of
from services.kernel.geofence import CoordinateOrder, GeofenceOrigin
from tests.support.factories import an_event, an_example

NOW = datetime(2026, 3, 17, 9, 40, 51, tzinfo=UTC)
RECORDED = datetime.fromtimestamp(1_647_510_067.195, tz=UTC)
SQUARE = [[2.09, 41.35], [2.23, 41.35], [2.23, 41.45], [2.09, 41.45], [2.09, 41.35]]


def test_the_example_of_the_catalogue_is_a_geofence() -> None:
    news, _ = news_of(an_example("geofence.created"), None, now=NOW)
    assert news is not None
    geofence = news.geofence
    ring = geofence.area["geometry"]["coordinates"][0]
    assert sorted(ring) == sorted(
        [[2.09, 41.35], [2.23, 41.35], [2.23, 41.45], [2.09, 41.45], [2.09, 41.35]]
    )
    assert (geofence.label, geofence.enabled, news.deleted) == ("Low emission zone", True, False)
    assert geofence.origin is GeofenceOrigin.PLANNER


def test_a_geofence_that_is_disabled_or_deleted_says_so() -> None:
    updated, _ = news_of(an_example("geofence.updated"), None, now=NOW)
    deleted, _ = news_of(an_example("geofence.deleted"), None, now=NOW)
    assert updated is not None
    assert deleted is not None
    assert (updated.geofence.enabled, updated.deleted, deleted.deleted) == (False, False, True)


def a_change(**data: object) -> dict[str, object]:
    return {"id": "5e208446c97efa37d4830b09", "label": "x", "enabled": True, **data}


def test_bare_pairs_are_refused_until_the_project_says_which_number_comes_first() -> None:
    pairs = [[lat, lng] for lng, lat in SQUARE[:4]]
    event = an_event("geofence.created", data=a_change(coordinates=pairs))
    news, faults = news_of(event, None, now=NOW)
    assert (news, [fault.pointer for fault in faults]) == (None, ["/data/coordinates"])
    taken, _ = news_of(event, CoordinateOrder.LAT_LNG, now=NOW)
    assert taken is not None
    assert taken.geofence.area == {"geometry": {"type": "Polygon", "coordinates": [SQUARE]}}


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"id": "me"}, "/data/id"),
        ({"id": 5}, "/data/id"),
        (a_change(), "/data/coordinates"),
        (a_change(geometry={"type": "Point", "coordinates": [2, 41]}), "/data/geometry/type"),
    ],
)
def test_what_is_no_geofence_is_refused_with_its_place(data: object, pointer: str) -> None:
    news, faults = news_of(an_event("geofence.updated", data=data), None, now=NOW)
    assert news is None
    assert faults[0].pointer == pointer


def test_a_deletion_needs_no_area() -> None:
    news, _ = news_of(an_event("geofence.deleted", data=a_change()), None, now=NOW)
    assert news is not None
    assert news.deleted


@pytest.mark.parametrize("written", ["2099-01-01T00:00:00.000Z", "yesterday", "9999-99-99"])
def test_a_clock_gone_wrong_wins_over_no_later_change(written: str) -> None:
    event = an_event("geofence.deleted", data=a_change(), created_at=written)
    news, _ = news_of(event, None, now=NOW)
    assert news is not None
    assert news.geofence.changed_at == RECORDED
