"""Whether a GeoJSON polygon encloses something that can be decided upon."""

import math
from itertools import pairwise
from typing import Any, TypeAlias

from services.kernel.errors import Fault

Position: TypeAlias = tuple[float, float]
Edge: TypeAlias = tuple[Position, Position]

MAX_LAT, MAX_LNG = 90, 180
MAX_WIDTH = 180
MIN_POSITIONS = 4
SWAPPED = "positions are [lng, lat], are the two swapped?"


def polygon_faults(coordinates: object, *, pointer: str) -> list[Fault]:
    """Return what is wrong with the rings of a polygon, of a bounded number of positions."""
    if not isinstance(coordinates, list) or not coordinates:
        return [Fault("type", "expected an array of rings", pointer)]
    found: list[Fault] = []
    rings: list[list[Position]] = []
    for n, ring in enumerate(coordinates):
        faults = _ring_faults(ring, f"{pointer}/{n}")
        found += faults
        if not faults:
            rings.append([(position[0], position[1]) for position in ring])
    if found:
        return found
    lngs = [lng for ring in rings for lng, _ in ring]
    if max(lngs) - min(lngs) > MAX_WIDTH:
        return [Fault("geo", "wider than 180°: split it at the antimeridian", pointer)]
    for n, ring in enumerate(rings):
        if _area(ring) == 0:
            found.append(Fault("geo", "encloses no area", f"{pointer}/{n}"))
    if not found and _crosses(rings):
        found.append(Fault("geo", "its border crosses itself", pointer))
    return found


def _ring_faults(ring: Any, pointer: str) -> list[Fault]:  # noqa: ANN401 - JSON
    if not isinstance(ring, list):
        return [Fault("type", "expected an array of positions", pointer)]
    if len(ring) < MIN_POSITIONS:
        message = f"a ring has {MIN_POSITIONS} positions or more, the last the same as the first"
        return [Fault("geo", message, pointer)]
    found = []
    for n, position in enumerate(ring):
        wrong = _position_fault(position)
        if wrong is not None:
            found.append(Fault("geo", wrong, f"{pointer}/{n}"))
    if not found and ring[0][:2] != ring[-1][:2]:
        message = "a ring is closed: its last position is the same as its first"
        found.append(Fault("geo", message, f"{pointer}/{len(ring) - 1}"))
    return found


def _position_fault(position: Any) -> str | None:  # noqa: ANN401 - JSON
    if not isinstance(position, list) or len(position) not in (2, 3):
        return "a position is [lng, lat]"
    for number in position:
        if isinstance(number, bool) or not isinstance(number, int | float):
            return "a position is [lng, lat], two numbers"
        if not math.isfinite(number):
            return "a position is [lng, lat], two finite numbers"
    lng, lat = position[:2]
    if not -MAX_LAT <= lat <= MAX_LAT:
        return f"latitude {lat:g} is out of range: {SWAPPED}"
    if not -MAX_LNG <= lng <= MAX_LNG:
        return f"longitude {lng:g} is out of range"
    return None


def _area(ring: list[Position]) -> float:
    # From the first corner: far from zero the products would eat up a small area.
    (x0, y0) = ring[0]
    return sum(
        (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) for (x1, y1), (x2, y2) in pairwise(ring)
    )


def _crosses(rings: list[list[Position]]) -> bool:
    """Tell whether two edges have more in common than the corner that neighbours share."""
    edges = sorted((min(a, b), max(a, b)) for ring in rings for a, b in pairwise(ring) if a != b)
    # Swept from west to east: an edge is compared with those that have not ended before it begins.
    active: list[Edge] = []
    for edge in edges:
        (west, _), _ = edge
        active = [other for other in active if other[1][0] >= west]
        if any(_meet(edge, other) for other in active):
            return True
        active.append(edge)
    return False


def _meet(one: Edge, other: Edge) -> bool:
    a, b = one
    c, d = other
    if max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1]):
        return False
    shared = {a, b} & {c, d}
    if len(shared) > 1:
        return True  # the same edge twice
    o1, o2, o3, o4 = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if shared:
        if o1 or o2 or o3 or o4:
            return False
        # On one line: they fold back over each other, unless they lead away from the shared corner.
        (corner,) = shared
        end, far = (b if a == corner else a), (d if c == corner else c)
        return _dot(corner, end, far) > 0
    if o1 != o2 and o3 != o4:
        return True
    return (
        (o1 == 0 and _between(a, b, c))
        or (o2 == 0 and _between(a, b, d))
        or (o3 == 0 and _between(c, d, a))
        or (o4 == 0 and _between(c, d, b))
    )


def _side(a: Position, b: Position, p: Position) -> int:
    cross = (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
    return (cross > 0) - (cross < 0)


def _dot(corner: Position, end: Position, far: Position) -> float:
    return (end[0] - corner[0]) * (far[0] - corner[0]) + (end[1] - corner[1]) * (far[1] - corner[1])


def _between(a: Position, b: Position, p: Position) -> bool:
    return min(a[0], b[0]) <= p[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])
