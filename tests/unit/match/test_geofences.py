"""Geofences as they are written: what is one, and what is said of what isn't."""

import math

import pytest

from services.kernel.geofence import CoordinateOrder
from services.match.geofences import circle_faults, corners, geometry_faults, plain

SQUARE = [[2.0, 41.0], [3.0, 41.0], [3.0, 42.0], [2.0, 42.0], [2.0, 41.0]]
HOLE = [[2.4, 41.4], [2.6, 41.4], [2.6, 41.6], [2.4, 41.6], [2.4, 41.4]]
BOW = [[2.0, 41.0], [3.0, 42.5], [3.0, 41.0], [2.0, 42.0], [2.0, 41.0]]
OBJECTS = [{"lat": 41.0, "lng": 2.0}, {"lat": 41.0, "lng": 3.0}, {"lat": 42.0, "lng": 3.0}]


def polygon(*rings: object) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


def told(geometry: object) -> list[tuple[str | None, str]]:
    return [(fault.pointer, fault.code) for fault in geometry_faults(geometry, pointer="/geometry")]


@pytest.mark.parametrize(
    "geometry",
    [
        polygon(SQUARE),
        polygon(SQUARE, HOLE),
        polygon(list(reversed(SQUARE))),
        polygon([[*position, 12.5] for position in SQUARE]),
        {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[x + 5, y] for x, y in SQUARE]]]},
        # Corners that touch a border of their own ring are no crossing, nor are straight-on corners.
        polygon([[2.0, 41.0], [2.5, 41.0], *SQUARE[1:]]),
    ],
)
def test_an_area_is_taken(geometry: object) -> None:
    assert told(geometry) == []


@pytest.mark.parametrize(
    ("geometry", "pointer", "code"),
    [
        (5, "/geometry", "type"),
        ({"type": "Point", "coordinates": [2, 41]}, "/geometry/type", "geo"),
        ({"coordinates": [SQUARE]}, "/geometry", "geo"),
        ({"type": "Polygon"}, "/geometry/coordinates", "type"),
        ({"type": "MultiPolygon", "coordinates": []}, "/geometry/coordinates", "type"),
        (polygon(SQUARE[:4]), "/geometry/coordinates/0/3", "geo"),
        (polygon(SQUARE[:3]), "/geometry/coordinates/0", "geo"),
        (polygon([[2, 41], [3, 41], [2, 41], [2, 41]]), "/geometry/coordinates/0", "geo"),
        (polygon(SQUARE, [[0, 0], [1, True], [1, 1], [0, 0]]), "/geometry/coordinates/1/1", "geo"),
        (polygon([["2", 41], *SQUARE[1:]]), "/geometry/coordinates/0/0", "geo"),
        (polygon([[math.inf, 41], *SQUARE[1:]]), "/geometry/coordinates/0/0", "geo"),
        (polygon(BOW), "/geometry/coordinates", "geo"),
        (polygon(SQUARE, SQUARE), "/geometry/coordinates", "geo"),
        (polygon([[-100, 0], [100, 0], [100, 1], [-100, 0]]), "/geometry/coordinates", "geo"),
    ],
)
def test_what_is_no_area_is_told_with_its_place(geometry: object, pointer: str, code: str) -> None:
    assert told(geometry)[0] == (pointer, code)


def test_a_latitude_out_of_range_asks_whether_the_two_are_swapped() -> None:
    barcelona = [[41.3, 2.1], [41.3, 2.2], [141.4, 2.2], [41.3, 2.1]]
    assert told(polygon(barcelona)) == []  # nobody can tell
    (fault,) = geometry_faults(polygon([[2.1, 141.3], *barcelona]), pointer="")[:1]
    assert "are the two swapped?" in fault.message


def test_all_positions_of_a_geofence_count_together() -> None:
    ring = [
        [math.cos(n / 1_000 * 2 * math.pi), math.sin(n / 1_000 * 2 * math.pi)] for n in range(1_000)
    ]
    ring.append(ring[0])
    shifted = [[x + 5, y] for x, y in ring]
    assert told(polygon(ring)) == []
    several = {"type": "MultiPolygon", "coordinates": [[ring], [shifted]]}
    (fault,) = geometry_faults(several, pointer="")
    assert (fault.code, fault.message) == ("limit", "2002 positions, 2000 are allowed")


def test_a_pair_as_a_centre_is_refused_with_the_form_that_says_which_is_which() -> None:
    (fault,) = circle_faults({"center": [2.1, 41.3], "radius_m": 100}, pointer="/circle")
    assert fault.pointer == "/circle/center"
    assert fault.message.startswith('write {"lat": …, "lng": …}')


def test_a_field_that_a_circle_or_its_centre_does_not_have_is_refused() -> None:
    circle = {"center": {"lat": 41.3, "lng": 2.1, "lon": 2.1}, "radius_m": 100, "radius": 1}
    faults = [(fault.pointer, fault.code) for fault in circle_faults(circle, pointer="/circle")]
    assert faults == [("/circle/radius", "unknown_field"), ("/circle/center/lon", "unknown_field")]


@pytest.mark.parametrize("radius", [0.5, 200_001, "100", None, True])
def test_a_radius_is_in_metres_and_bounded(radius: object) -> None:
    circle = {"center": {"lat": 41.3, "lng": 2.1}, "radius_m": radius}
    assert [fault.pointer for fault in circle_faults(circle, pointer="")] == ["/radius_m"]


def test_corners_with_names_need_no_order() -> None:
    found, faults = corners(OBJECTS, order=None, pointer="/data/coordinates")
    assert faults == []
    assert found == polygon([[2.0, 41.0], [3.0, 41.0], [3.0, 42.0], [2.0, 41.0]])


def test_bare_pairs_are_taken_only_where_somebody_said_which_number_comes_first() -> None:
    pairs = [[41.0, 2.0], [41.0, 3.0], [42.0, 3.0]]
    _, faults = corners(pairs, order=None, pointer="")
    assert "coordinate_order" in faults[0].message
    found, _ = corners(pairs, order=CoordinateOrder.LAT_LNG, pointer="")
    assert found == corners(OBJECTS, order=None, pointer="")[0]
    swapped = [[lng, lat] for lat, lng in pairs]
    assert corners(swapped, order=CoordinateOrder.LNG_LAT, pointer="")[0] == found


def test_what_is_kept_of_a_geometry_is_two_numbers_a_position() -> None:
    written = {"type": "Polygon", "bbox": [], "coordinates": [[[*p, 7] for p in SQUARE]]}
    assert plain(written) == polygon(SQUARE)
