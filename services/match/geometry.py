"""Circles and polygons on the globe: is a point inside, and how far is the border?

Edges of polygons are straight in longitude and latitude. A point on a border that two neighbours
share is in exactly one of them: the border is half open, left and lower edges belong to a polygon,
right and upper ones don't. A circle includes its border.
"""

import itertools
from collections.abc import Sequence
from math import asin, ceil, cos, degrees, hypot, radians, sin, sqrt
from typing import Any, NamedTuple, Protocol, TypeAlias

RADIUS_M = 6_371_008.8
"""Of the sphere with the Earth's mean radius."""
EDGES_PER_BAND = 4
SMALL = 12
"""Up to so many edges are tried one by one."""

Ring: TypeAlias = tuple[tuple[float, float], ...]
"""Closed: the last position is the first. Each is (lng, lat), as in GeoJSON."""
_Edge: TypeAlias = tuple[float, float, float, float]
"""Upward: lower lat, upper lat, lng at the lower, lng per lat."""


class Box(NamedTuple):
    """From west to east and south to north; over the antimeridian west is the greater."""

    west: float
    south: float
    east: float
    north: float

    def touches(self, other: "Box") -> bool:
        """Tell whether the two have a point in common; neither goes over the antimeridian."""
        return (
            self.west <= other.east
            and other.west <= self.east
            and self.south <= other.north
            and other.south <= self.north
        )


class Shape(Protocol):
    """An area."""

    @property
    def box(self) -> Box:
        """Return what encloses it."""

    def contains(self, lat: float, lng: float) -> bool:
        """Tell whether a point is inside."""

    def metres_to_border(self, lat: float, lng: float) -> float:
        """Return how far the border is, from within or outside."""


class Circle:
    """All points within a distance along the surface."""

    __slots__ = ("_lat_reach", "_lng_reach", "box", "lat", "lng", "radius_m")

    def __init__(self, lat: float, lng: float, radius_m: float) -> None:
        self.lat = lat
        self.lng = lng
        self.radius_m = radius_m
        angle = radius_m / RADIUS_M
        # A little wider than the circle: the box spares the sines, it decides nothing.
        self._lat_reach = degrees(angle) + 1e-9
        south, north = lat - self._lat_reach, lat + self._lat_reach
        if south <= -90 or north >= 90:  # noqa: PLR2004 - degrees
            self._lng_reach = 180.0  # it has a pole in it
        else:
            self._lng_reach = degrees(asin(min(1.0, sin(angle) / cos(radians(lat))))) + 1e-9
        if self._lng_reach >= 180:  # noqa: PLR2004
            west, east = -180.0, 180.0
        else:
            west, east = _wrapped(lng - self._lng_reach), _wrapped(lng + self._lng_reach)
        self.box = Box(west, max(south, -90.0), east, min(north, 90.0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Circle) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Circle({self.lat}, {self.lng}, {self.radius_m:g} m)"

    @property
    def _key(self) -> tuple[float, float, float]:
        return self.lat, self.lng, self.radius_m

    def contains(self, lat: float, lng: float) -> bool:
        """Tell whether a point is inside or on the border."""
        if abs(lat - self.lat) > self._lat_reach:
            return False
        apart = abs(lng - self.lng)
        if min(apart, 360 - apart) > self._lng_reach:
            return False
        return haversine_m(self.lat, self.lng, lat, lng) <= self.radius_m

    def metres_to_border(self, lat: float, lng: float) -> float:
        """Return how far the border is, from within or outside."""
        return abs(haversine_m(self.lat, self.lng, lat, lng) - self.radius_m)


class Polygon:
    """Even-odd over all rings, so that holes are holes."""

    __slots__ = ("_bands", "_scale", "box", "rings")

    def __init__(self, rings: Sequence[Ring]) -> None:
        self.rings = tuple(rings)
        lngs = [lng for ring in rings for lng, _ in ring]
        lats = [lat for ring in rings for _, lat in ring]
        self.box = Box(min(lngs), min(lats), max(lngs), max(lats))
        edges = [edge for ring in rings for edge in _upward(ring)]
        count = 1 if len(edges) <= SMALL else ceil(len(edges) / EDGES_PER_BAND)
        height = self.box.north - self.box.south
        self._scale = count / height if height else 0.0
        self._bands = self._banded(edges, count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Polygon) and self.rings == other.rings

    def __hash__(self) -> int:
        return hash(self.rings)

    def __repr__(self) -> str:
        return f"Polygon({sum(map(len, self.rings))} positions in {len(self.rings)} rings)"

    def contains(self, lat: float, lng: float) -> bool:
        """Tell whether a point is inside; left and lower borders belong to it."""
        west, south, east, north = self.box
        if not (south <= lat < north and west <= lng < east):
            return False
        inside = False
        bands = self._bands
        band = int((lat - south) * self._scale)
        for low, high, foot, slope in bands[band if band < len(bands) else -1]:
            if low <= lat < high and lng < foot + slope * (lat - low):
                inside = not inside
        return inside

    def metres_to_border(self, lat: float, lng: float) -> float:
        """Return how far the border is, from within or outside."""
        return min(
            metres_to_segment(lat, lng, one, other)
            for ring in self.rings
            for one, other in itertools.pairwise(ring)
        )

    def _banded(self, edges: Sequence[_Edge], count: int) -> tuple[tuple[_Edge, ...], ...]:
        if count == 1:
            return (tuple(edges),)
        bands: list[list[_Edge]] = [[] for _ in range(count)]
        south = self.box.south
        for edge in edges:
            first = min(int((edge[0] - south) * self._scale), count - 1)
            last = int((edge[1] - south) * self._scale)
            for band in bands[first : last + 1]:
                band.append(edge)
        return tuple(map(tuple, bands))


class Several:
    """A MultiPolygon: inside any of its polygons."""

    __slots__ = ("box", "polygons")

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        self.polygons = tuple(polygons)
        boxes = [polygon.box for polygon in polygons]
        self.box = Box(
            min(box.west for box in boxes),
            min(box.south for box in boxes),
            max(box.east for box in boxes),
            max(box.north for box in boxes),
        )

    def __repr__(self) -> str:
        return f"Several({len(self.polygons)} polygons)"

    def contains(self, lat: float, lng: float) -> bool:
        """Tell whether a point is inside one of them."""
        return any(polygon.contains(lat, lng) for polygon in self.polygons)

    def metres_to_border(self, lat: float, lng: float) -> float:
        """Return how far the nearest border is."""
        return min(polygon.metres_to_border(lat, lng) for polygon in self.polygons)


def readable(value: Any) -> tuple[float, float] | None:  # noqa: ANN401 - JSON
    """Return (lat, lng) of `{"lat", "lng"}` or a GeoJSON Point; None where it is neither.

    What isn't readable is neither within an area nor outside of it.
    """
    if value.__class__ is not dict:
        return None
    lat: Any = value.get("lat")
    lng: Any = value.get("lng")
    if lat is None and lng is None and value.get("type") == "Point":
        pair = value.get("coordinates")
        if pair.__class__ is not list or len(pair) < 2:  # noqa: PLR2004 - [lng, lat]
            return None
        lng, lat = pair[0], pair[1]
    # The class first: True is 1 in Python, and a string compares with no number.
    if lat.__class__ not in _NUMBERS or lng.__class__ not in _NUMBERS:
        return None
    return (lat, lng) if -90 <= lat <= 90 and -180 <= lng <= 180 else None  # noqa: PLR2004


def haversine_m(lat: float, lng: float, other_lat: float, other_lng: float) -> float:
    """Return the distance along the surface, in metres."""
    phi, other_phi = radians(lat), radians(other_lat)
    half = (
        sin((other_phi - phi) / 2) ** 2
        + cos(phi) * cos(other_phi) * sin(radians(other_lng - lng) / 2) ** 2
    )
    return 2 * RADIUS_M * asin(min(1.0, sqrt(half)))


def metres_to_segment(
    lat: float, lng: float, one: tuple[float, float], other: tuple[float, float]
) -> float:
    """Return the distance from a point to a segment between two (lng, lat), on a local plane."""
    wide = cos(radians(lat))
    ax, ay = (one[0] - lng) * wide, one[1] - lat
    bx, by = (other[0] - lng) * wide, other[1] - lat
    dx, dy = bx - ax, by - ay
    square = dx * dx + dy * dy
    along = 0.0 if square == 0 else min(1.0, max(0.0, -(ax * dx + ay * dy) / square))
    return radians(hypot(ax + along * dx, ay + along * dy)) * RADIUS_M


_NUMBERS: frozenset[object] = frozenset({int, float})


def _upward(ring: Ring) -> tuple[_Edge, ...]:
    """Return the edges that aren't level, each from its lower end: neighbours compute alike."""
    found = []
    for (ax, ay), (bx, by) in itertools.pairwise(ring):
        if ay < by:
            found.append((ay, by, ax, (bx - ax) / (by - ay)))
        elif by < ay:
            found.append((by, ay, bx, (ax - bx) / (ay - by)))
    return tuple(found)


def _wrapped(lng: float) -> float:
    return lng - 360 if lng > 180 else lng + 360 if lng < -180 else lng  # noqa: PLR2004
