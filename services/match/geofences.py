"""A geofence as it is written, by people or by the planner, becomes an area; every fault with its place.

Positions of GeoJSON are `[lng, lat]`; points are named, `{"lat", "lng"}`. Which number of a bare pair
is which can't be told by looking at it, so that it is taken only where somebody said so.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeGuard

from services.kernel.errors import Fault, escape
from services.kernel.event import Json
from services.kernel.geofence import CoordinateOrder
from services.match.polygons import MAX_LAT, MAX_LNG, polygon_faults

MAX_POSITIONS = 2_000
MIN_RADIUS_M, MAX_RADIUS_M = 1, 200_000
MIN_CORNERS = 3
SAY_WHICH = 'write {"lat": …, "lng": …}: a pair doesn\'t say which is which'
SAY_ORDER = (
    "bare pairs don't say which number comes first: write objects, or set the project's"
    " coordinate_order to lat_lng or lng_lat"
)


def geometry_faults(geometry: object, *, pointer: str) -> list[Fault]:
    """Return what is wrong with a GeoJSON Polygon or MultiPolygon."""
    if not isinstance(geometry, dict):
        return [Fault("type", "expected a GeoJSON Polygon or MultiPolygon", pointer)]
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    at = f"{pointer}/coordinates"
    if kind == "Polygon":
        polygons = {at: coordinates}
    elif kind != "MultiPolygon":
        message = f"expected Polygon or MultiPolygon, got {kind!r}"
        return [Fault("geo", message, f"{pointer}/type" if "type" in geometry else pointer)]
    elif isinstance(coordinates, list) and coordinates:
        polygons = {f"{at}/{n}": polygon for n, polygon in enumerate(coordinates)}
    else:
        message = "expected an array of polygons"
        return [Fault("type", message, at if "coordinates" in geometry else pointer)]
    count = sum(_positions(polygon) for polygon in polygons.values())
    if count > MAX_POSITIONS:
        message = f"{count} positions, {MAX_POSITIONS} are allowed"
        return [Fault("limit", message, at)]
    return [
        f for place, polygon in polygons.items() for f in polygon_faults(polygon, pointer=place)
    ]


def plain(geometry: object) -> Json | None:
    """Return what is kept of a geometry: no boxes, no properties, and two numbers a position."""
    return (
        {name: _flat(geometry.get(name)) for name in ("type", "coordinates")}
        if isinstance(geometry, dict)
        else None
    )


def circle_faults(circle: object, *, pointer: str) -> list[Fault]:
    """Return what is wrong with `{"center": {"lat", "lng"}, "radius_m"}`."""
    if not isinstance(circle, dict):
        message = 'expected {"center": {"lat": …, "lng": …}, "radius_m": …}'
        return [Fault("type", message, pointer)]
    found = _unknown(circle, ("center", "radius_m"), "in a circle", pointer)
    if "center" not in circle:
        found.append(Fault("required", "center is required", f"{pointer}/center"))
    else:
        found += point_faults(circle["center"], pointer=f"{pointer}/center")
    radius = circle.get("radius_m")
    if radius is None:
        found.append(Fault("required", "radius_m is required, in metres", f"{pointer}/radius_m"))
    elif not is_number(radius) or not MIN_RADIUS_M <= radius <= MAX_RADIUS_M:
        message = f"a radius is {MIN_RADIUS_M} to {MAX_RADIUS_M} metres"
        found.append(Fault("geo", message, f"{pointer}/radius_m"))
    return found


def point_faults(point: object, *, pointer: str) -> list[Fault]:
    """Return what is wrong with `{"lat", "lng"}`."""
    if isinstance(point, list):
        return [Fault("geo", SAY_WHICH, pointer)]
    if not isinstance(point, dict):
        return [Fault("type", 'expected {"lat": …, "lng": …}', pointer)]
    found = _unknown(point, ("lat", "lng"), "of a point", pointer)
    for name, most in (("lat", MAX_LAT), ("lng", MAX_LNG)):
        number = point.get(name)
        if not is_number(number) or not -most <= number <= most:
            message = f"{name} is a number from {-most} to {most}"
            found.append(Fault("geo", message, f"{pointer}/{name}"))
    return found


def _unknown(written: Json, known: Collection[str], where: str, pointer: str) -> list[Fault]:
    return [
        Fault("unknown_field", f"no field {name!r} {where}", f"{pointer}/{escape(str(name))}")
        for name in written
        if name not in known
    ]


def corners(
    written: object, *, order: CoordinateOrder | None, pointer: str
) -> tuple[Json | None, list[Fault]]:
    """Return the polygon with the corners of a planner's geofence, or what is wrong with them."""
    if not isinstance(written, list) or len(written) < MIN_CORNERS:
        return None, [Fault("geo", "a geofence has 3 corners or more", pointer)]
    if len(written) > MAX_POSITIONS:
        message = f"{len(written)} positions, {MAX_POSITIONS} are allowed"
        return None, [Fault("limit", message, pointer)]
    if order is None and any(isinstance(corner, list) for corner in written):
        return None, [Fault("geo", SAY_ORDER, pointer)]
    found: list[Fault] = []
    ring = []
    for n, corner in enumerate(written):
        point = _named(corner, order)
        faults = point_faults(point, pointer=f"{pointer}/{n}")
        found += faults
        if not faults:
            ring.append([point["lng"], point["lat"]])
    if found:
        return None, found
    if ring[0] != ring[-1]:
        ring.append(ring[0])  # the planner leaves its rings open
    coordinates = [ring]
    faults = [
        fault._replace(pointer=pointer) for fault in polygon_faults(coordinates, pointer=pointer)
    ]
    return {"type": "Polygon", "coordinates": coordinates}, faults


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether *value* is a finite number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _named(corner: Any, order: CoordinateOrder | None) -> Any:  # noqa: ANN401 - JSON
    if isinstance(corner, list) and len(corner) == 2 and order is not None:  # noqa: PLR2004 - a pair
        names = order.value.split("_")
        return dict(zip(names, corner, strict=True))
    if isinstance(corner, Mapping):
        return {name: corner.get(name) for name in ("lat", "lng")}
    return corner


def _flat(coordinates: Any) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(coordinates, list):
        return coordinates
    if coordinates and not isinstance(coordinates[0], list):
        return coordinates[:2]
    return [_flat(inner) for inner in coordinates]


def _positions(polygon: object) -> int:
    if not isinstance(polygon, Sequence):
        return 0
    return sum(len(ring) for ring in polygon if isinstance(ring, list))
