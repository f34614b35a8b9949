"""Places become the geometry of an SVG."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.dashboard.maps import HEIGHT, MARGIN, WIDTH, Frame, rings_of
from services.dashboard.views.fleet import places_at, vehicles_of

BARCELONA, GIRONA = (41.3874, 2.1686), (41.9794, 2.8214)
DEGREE = 111_320.0


def test_all_places_lie_within_the_margins_north_up_and_at_one_scale() -> None:
    frame = Frame([BARCELONA, GIRONA])
    (x1, y1), (x2, y2) = frame.at(BARCELONA), frame.at(GIRONA)
    for x, y in ((x1, y1), (x2, y2)):
        assert MARGIN - 1 <= x <= WIDTH - MARGIN + 1
        assert MARGIN - 1 <= y <= HEIGHT - MARGIN + 1
    assert x1 < x2
    assert y1 > y2
    high = (GIRONA[0] - BARCELONA[0]) / abs(y2 - y1)
    wide = (GIRONA[1] - BARCELONA[1]) * math.cos(math.radians(41.68)) / (x2 - x1)
    assert wide == pytest.approx(high, rel=0.01)


def test_the_bar_is_as_long_as_it_says() -> None:
    frame = Frame([BARCELONA, GIRONA])
    (_, y1), (_, y2) = frame.at(BARCELONA), frame.at(GIRONA)
    metres = (GIRONA[0] - BARCELONA[0]) * DEGREE / abs(y2 - y1) * frame.bar.width
    assert metres == pytest.approx(frame.bar.metres, rel=0.01)


def test_a_vehicle_alone_is_in_the_middle() -> None:
    assert Frame([BARCELONA]).at(BARCELONA) == (WIDTH / 2, HEIGHT / 2)


def test_a_circle_and_geojson_become_rings_of_latitude_and_longitude() -> None:
    lat, lng = BARCELONA
    (ring,) = rings_of({"circle": {"center": {"lat": lat, "lng": lng}, "radius_m": 500.0}})
    east = max(ring, key=lambda place: place[1])
    metres = (east[1] - lng) * DEGREE * math.cos(math.radians(lat))
    assert metres == pytest.approx(500, rel=0.01)
    square = [[[2.0, 41.0], [2.1, 41.0], [2.1, 41.1], [2.0, 41.0]]]
    polygon = {"circle": None, "geometry": {"type": "Polygon", "coordinates": square}}
    several = {"circle": None, "geometry": {"type": "MultiPolygon", "coordinates": [square] * 2}}
    assert rings_of(polygon)[0][1] == (41.0, 2.1)
    assert len(rings_of(several)) == 2


def test_a_vehicle_is_behind_by_what_its_receiver_has_not_taken() -> None:
    entries = [
        {"id": str(n), "key": "van", "produced_at": f"2022-03-17T09:40:{n:02}.000Z"}
        for n in (10, 20, 50)
    ]
    taken = [{"event_id": "20", "key": "van", "attempted_at": "2022-03-17T09:40:21.000Z"}]
    (vehicle,) = vehicles_of(entries, taken)
    assert (vehicle.last["id"], vehicle.behind) == ("50", 30)
    (other,) = vehicles_of(entries, [])
    assert (other.acknowledged_at, other.behind) == (None, None)


DEPARTS = datetime(2022, 3, 17, 9, 40, tzinfo=UTC)


def position(seconds: float, lat: float = 41.0) -> dict[str, Any]:
    at = DEPARTS + timedelta(seconds=seconds)
    return {
        "produced_at": at.isoformat(),
        "event": {"data": {"position": {"lat": lat, "lng": 2.0}}},
    }


def moment(seconds: float) -> str:
    return str(position(seconds)["produced_at"])


def test_a_delivery_stands_where_the_vehicle_was_nearest_in_time() -> None:
    way = [position(0, 41.0), position(10, 41.1), position(30, 41.2)]
    moments = [moment(seconds) for seconds in (-5, 0, 4, 6, 19, 21, 99)]
    found = places_at(way, moments, is_part=False)
    assert [place[0] for place in found if place] == [41.0, 41.0, 41.0, 41.1, 41.1, 41.2, 41.2]
    assert places_at([], moments, is_part=False) == [None] * len(moments)


def test_of_a_part_of_the_way_a_delivery_of_another_part_stands_nowhere() -> None:
    way = [position(0, 41.0), position(10, 41.1)]
    found = places_at(way, [moment(-1), moment(0), moment(10), moment(11)], is_part=True)
    assert found == [None, (41.0, 2.0), (41.1, 2.0), None]
