"""Inside or not: as shapely says off the border, in exactly one of two neighbours on it."""

import random
from math import cos, hypot, pi, radians, sin

import pytest
import shapely

from services.match.fences import Fence, Fences
from services.match.geometry import Circle, Polygon, Ring, Several, Shape, haversine_m
from services.match.grid import Grid
from services.match.polygons import polygon_faults

BORDER = 1e-9
"""Degrees within which shapely may say otherwise."""


def a_star(chance: random.Random, lng: float, lat: float, size: float, corners: int) -> Ring:
    """Return a ring that goes around its centre once, in and out."""
    angles = sorted(chance.uniform(0, 2 * pi) for _ in range(corners))
    ring = [
        (lng + size * chance.uniform(0.4, 1) * cos(a), lat + size * chance.uniform(0.4, 1) * sin(a))
        for a in angles
    ]
    return (*ring, ring[0])


def a_polygon(chance: random.Random, size: float = 1.0) -> Polygon:
    """Return a polygon with up to two holes, valid by shapely's measure too."""
    while True:
        lng, lat = chance.uniform(-170, 170), chance.uniform(-80, 80)
        rings = [a_star(chance, lng, lat, size, chance.choice([4, 7, 30, 200]))]
        rings += [
            a_star(chance, lng + side * size / 6, lat, size / 8, 5)
            for side in chance.sample([-1, 1], chance.randint(0, 2))
        ]
        if shapely.Polygon(rings[0], rings[1:]).is_valid:
            return Polygon(rings)


def as_shapely(polygon: Polygon) -> shapely.Polygon:
    return shapely.Polygon(polygon.rings[0], polygon.rings[1:])


def compare(polygons: int, points: int, seed: int) -> int:
    chance = random.Random(seed)
    compared = 0
    for _ in range(polygons):
        polygon = a_polygon(chance)
        theirs = as_shapely(polygon)
        shapely.prepare(theirs)
        west, south, east, north = polygon.box
        for _ in range(points):
            lng, lat = chance.uniform(west, east), chance.uniform(south, north)
            if theirs.boundary.distance(shapely.Point(lng, lat)) > BORDER:
                inside = polygon.contains(lat, lng)
                assert inside == shapely.contains_xy(theirs, lng, lat), (polygon.rings, lng, lat)
                compared += 1
    return compared


def test_polygons_with_holes_are_as_shapely_says() -> None:
    assert compare(polygons=120, points=60, seed=1) > 7_000


@pytest.mark.long
@pytest.mark.timeout(300)
def test_ten_thousand_polygons_are_as_shapely_says() -> None:
    assert compare(polygons=10_000, points=20, seed=2) > 190_000


def test_a_polygon_that_shapely_calls_valid_is_taken_and_a_crossing_one_is_not() -> None:
    chance = random.Random(3)
    counts = {True: 0, False: 0}
    for _ in range(400):
        ring = [(chance.randint(0, 6), chance.randint(0, 6)) for _ in range(chance.randint(3, 6))]
        ring.append(ring[0])
        theirs = shapely.Polygon(ring)
        faults = polygon_faults([[list(position) for position in ring]], pointer="")
        if theirs.is_valid and theirs.area > 0:
            assert not faults, (ring, faults)
            counts[True] += 1
        elif not shapely.LineString(ring).is_simple and len(set(ring)) == len(ring) - 1:
            assert faults, ring
            counts[False] += 1
    assert min(counts.values()) > 50


def test_each_point_of_a_tiling_is_in_exactly_one_tile() -> None:
    """Rows of tiles, each cut along a diagonal: borders and corners included."""
    tiles: list[Shape] = []
    for x in range(6):
        for y in range(6):
            a, b, c, d = (x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)
            tiles += [Polygon([(a, b, c, a)]), Polygon([(a, c, d, a)])]
    grid = Grid(tiles)
    for n in range(6 * 8):
        for m in range(6 * 8):
            lng, lat = n / 8, m / 8
            holding = [number for number, tile in enumerate(tiles) if tile.contains(lat, lng)]
            assert len(holding) == 1, (lng, lat)
            assert grid.at(lat, lng) == holding


def test_a_hole_is_no_part_and_a_multipolygon_is_all_of_its_parts() -> None:
    outer: Ring = ((0, 0), (4, 0), (4, 4), (0, 4), (0, 0))
    hole: Ring = ((1, 1), (1, 3), (3, 3), (3, 1), (1, 1))
    far: Ring = ((10, 10), (11, 10), (11, 11), (10, 11), (10, 10))
    several = Several([Polygon([outer, hole]), Polygon([far])])
    assert [several.contains(*at) for at in ((0.5, 0.5), (2, 2), (10.5, 10.5), (7, 7))] == [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("circle", "inside", "outside"),
    [
        (Circle(0, 179.99, 5_000), [(0, -179.99), (0, 179.96)], [(0, -179.95), (0, 0)]),
        (Circle(89.99, 0, 5_000), [(89.99, 180), (90, 77)], [(89.9, 0)]),
        (Circle(-90, 0, 200_000), [(-89, 123), (-88.3, -40)], [(-88, 0)]),
        (Circle(0, 0, 1), [(0, 0), (0, 0.000008)], [(0, 0.00001), (0.00001, 0)]),
    ],
)
def test_a_circle_goes_over_the_antimeridian_and_the_poles(
    circle: Circle, inside: list[tuple[float, float]], outside: list[tuple[float, float]]
) -> None:
    fences = Fences([Fence("here", circle)])
    for lat, lng in inside:
        assert circle.contains(lat, lng)
        assert fences.at(lat, lng) == ["here"]
    for lat, lng in outside:
        assert not circle.contains(lat, lng)
        assert fences.at(lat, lng) == []


def metres_on_wgs84(lat: float, lng: float, other_lat: float, other_lng: float) -> float:
    """Return the length of a short chord's arc on the ellipsoid."""
    a, f = 6_378_137.0, 1 / 298.257223563
    e2 = f * (2 - f)

    def at(phi: float, lam: float) -> tuple[float, float, float]:
        n = a / (1 - e2 * sin(phi) ** 2) ** 0.5
        return n * cos(phi) * cos(lam), n * cos(phi) * sin(lam), n * (1 - e2) * sin(phi)

    one = at(radians(lat), radians(lng))
    other = at(radians(other_lat), radians(other_lng))
    chord = hypot(*(x - y for x, y in zip(one, other, strict=True)))
    return chord * (1 + (chord / 6_371_008.8) ** 2 / 24)


def test_distances_are_those_of_wgs84_within_six_parts_in_a_thousand() -> None:
    chance = random.Random(4)
    for _ in range(5_000):
        lat, lng = chance.uniform(-89, 89), chance.uniform(-180, 180)
        other = lat + chance.uniform(-0.9, 0.9), lng + chance.uniform(-0.9, 0.9)
        ours, theirs = haversine_m(lat, lng, *other), metres_on_wgs84(lat, lng, *other)
        assert abs(ours - theirs) <= 0.006 * theirs


def test_a_grid_says_what_trying_every_area_says() -> None:
    chance = random.Random(5)
    shapes: list[Shape] = []
    for _ in range(500):
        lat, lng = 41.4 + chance.gauss(0, 0.5), 2.1 + chance.gauss(0, 0.5)
        size = chance.choice([0.001, 0.02, 0.3, 2])
        if chance.random() < 0.5:
            shapes.append(Circle(lat, lng, size * 50_000))
        else:
            shapes.append(Polygon([a_star(chance, lng, lat, size, 9)]))
    grid = Grid(shapes)
    for _ in range(3_000):
        lat, lng = 41.4 + chance.gauss(0, 0.6), 2.1 + chance.gauss(0, 0.6)
        if chance.random() < 0.3:
            lat, lng = round(lat, 2), round(lng, 2)  # where cells meet
        expected = [n for n, shape in enumerate(shapes) if shape.contains(lat, lng)]
        assert sorted(grid.at(lat, lng)) == expected


def test_how_far_a_border_is() -> None:
    circle = Circle(41.4, 2.17, 500)
    assert circle.metres_to_border(41.4, 2.17) == 500
    square = Polygon([((2, 41), (3, 41), (3, 42), (2, 42), (2, 41))])
    assert square.metres_to_border(41.5, 1.99) == pytest.approx(833, rel=0.01)
    assert square.metres_to_border(40.9, 2.5) == pytest.approx(11_120, rel=0.01)
