"""Areas as they are written: circles, GeoJSON polygons, references to stored geofences.

Points are named, polygons are GeoJSON, `[lng, lat]`. Nothing is guessed: a pair without names, or
one that looks swapped, is refused with the sentence that says how to write it.
"""

from typing import Any

from services.kernel.errors import escape
from services.match.filters.limits import FENCES, POSITIONS, RADIUS_M, RINGS
from services.match.filters.loading import key_faults, marks
from services.match.filters.report import Report
from services.match.filters.tree import Area, Fenced
from services.match.geometry import Circle, Polygon, Ring
from services.match.polygons import polygon_faults

FORMS = ("circle", "polygon", "geofence")
HALF_WAY = 180


def inline(value: object, pointer: str, report: Report) -> Area | None:
    """Return the area that an operator names; what is wrong is noted in *report*."""
    if not isinstance(value, dict):
        report.expected("an object with one of " + ", ".join(FORMS), value, pointer)
        return None
    report.faults += key_faults(value, pointer)
    if len(value) != 1 or next(iter(value)) not in FORMS:
        message = f"expected exactly one of {', '.join(FORMS)}, got {', '.join(value) or 'none'}"
        report.fault("geo", message, pointer)
        return None
    ((form, operand),) = value.items()
    place = f"{pointer}/{form}"
    if form == "geofence":
        return _fenced(operand, place, report)
    if not isinstance(operand, dict):
        report.expected("an object", operand, place)
        return None
    if form == "circle":
        return _circle(operand, place, report)
    return _polygon(operand, place, report)


def _fenced(value: Any, pointer: str, report: Report) -> Fenced | None:  # noqa: ANN401 - JSON
    one = not isinstance(value, list)
    ids = [value] if one else value
    if not ids:
        report.fault("empty", "empty array: no geofence is named", pointer)
        return None
    if report.over("geofences in one operator", len(ids), FENCES, pointer):
        return None
    known = [
        report.string(each, pointer if one else f"{pointer}/{n}", empty=False)
        for n, each in enumerate(ids)
    ]
    return None if None in known else Fenced(tuple(dict.fromkeys(id_ for id_ in known if id_)))


def _circle(value: dict[str, Any], pointer: str, report: Report) -> Circle | None:
    _known(value, ("center", "radius_m"), pointer, report)
    center, radius = value.get("center"), value.get("radius_m")
    lat = lng = None
    if isinstance(center, list):
        message = f"write {_named(center)}: a pair doesn't say which is which"
        report.fault("geo", message, f"{pointer}/center")
    elif center is not None:
        if isinstance(center, dict):
            _known(center, ("lat", "lng"), f"{pointer}/center", report)
            lat = _coordinate(center.get("lat"), 90, f"{pointer}/center", "lat", report)
            lng = _coordinate(center.get("lng"), 180, f"{pointer}/center", "lng", report)
        else:
            report.expected('an object {"lat": …, "lng": …}', center, f"{pointer}/center")
    if radius is None or report.number(radius, f"{pointer}/radius_m") is None:
        return None
    least, most = RADIUS_M
    if not least <= radius <= most:
        message = f"a radius of {radius:g} m, {least} to {most} are allowed"
        report.fault("limit", message, f"{pointer}/radius_m")
        return None
    return None if lat is None or lng is None else Circle(lat, lng, radius)


def _known(value: dict[str, Any], names: tuple[str, ...], pointer: str, report: Report) -> None:
    """Note the keys that are too many, too few or marked."""
    report.faults += key_faults(value, pointer)
    for name in value:
        if name not in names:
            message = f"unknown key {name[:128]!r}: there are {', '.join(names)}"
            report.fault("geo", message, f"{pointer}/{escape(name)}")
    missing = [name for name in names if value.get(name) is None]
    if missing:
        report.fault("geo", f"{' and '.join(missing)} missing", pointer)


def _coordinate(
    value: Any,  # noqa: ANN401 - JSON
    most: int,
    pointer: str,
    name: str,
    report: Report,
) -> float | None:
    place = f"{pointer}/{name}"
    if value is None or report.number(value, place) is None:
        return None
    if not -most <= value <= most:
        hint = ": are lat and lng swapped?" if name == "lat" and abs(value) <= HALF_WAY else ""
        report.fault("geo", f"{name} {value:g} is not within -{most} to {most}{hint}", place)
        return None
    number: float = value
    return number


def _named(pair: list[Any]) -> str:
    return '{"lat": …, "lng": …}' if len(pair) == 2 else '{"lat": 41.4, "lng": 2.17}'  # noqa: PLR2004 - a pair


def _polygon(value: dict[str, Any], pointer: str, report: Report) -> Polygon | None:
    report.faults += key_faults(value, pointer)
    if value.get("type") != "Polygon":
        message = (
            'expected a GeoJSON Polygon: {"type": "Polygon", "coordinates": [[[lng, lat], …]]}'
        )
        report.fault("geo", message, f"{pointer}/type" if "type" in value else pointer)
    if "coordinates" not in value:
        report.fault("geo", "coordinates missing", pointer)
        return None
    coordinates, place = value["coordinates"], f"{pointer}/coordinates"
    if isinstance(coordinates, list):
        total = sum(len(ring) for ring in coordinates if isinstance(ring, list))
        if report.over("rings", len(coordinates), RINGS, place) or report.over(
            "positions", total, POSITIONS, place
        ):
            return None
    faults = marks(coordinates, place) or polygon_faults(coordinates, pointer=place)
    report.faults += faults
    return None if faults else Polygon([_ring(ring) for ring in coordinates])


def _ring(positions: list[list[float]]) -> Ring:
    return tuple((position[0], position[1]) for position in positions)
