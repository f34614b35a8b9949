"""The normal form: a filter as it is stored and shown, so that what means the same reads the same.

Names and their order stay as they were written. A value stands in an array once, 5.0 is 5, a list
of one in `anything-but` or `geofence` is that one, and a position has no third number.
"""

from typing import Any

from services.kernel.event import Json
from services.match.filters.tree import (
    Area,
    Constant,
    Exists,
    Fenced,
    Folded,
    Leaf,
    Matcher,
    Number,
    Other,
    Outside,
    Pattern,
    Prefix,
    Range,
    Suffix,
    Text,
    Wildcard,
    Within,
)
from services.match.geometry import Circle

EXACT = 2**53
"""Whole floats below are exact, and written without a fraction."""


def normal(pattern: Pattern) -> Json:
    """Return the JSON of a tree."""
    found: Json = {
        name: [element(each) for each in below.matchers]
        if isinstance(below, Leaf)
        else normal(below)
        for name, below in pattern.fields
    }
    if pattern.either:
        found["$or"] = [normal(branch) for branch in pattern.either]
    return found


def element(matcher: Matcher) -> Any:  # noqa: ANN401, C901, PLR0911 - JSON, one case each
    """Return the JSON of one matcher."""
    match matcher:
        case Text(text):
            return text
        case Number(number):
            return plain(number)
        case Constant(constant):
            return constant
        case Exists(expected):
            return {"exists": expected}
        case Range():
            return {"numeric": _bounds(matcher)}
        case Prefix(text, folded):
            return {"prefix": {"equals-ignore-case": text} if folded else text}
        case Suffix(text, folded):
            return {"suffix": {"equals-ignore-case": text} if folded else text}
        case Folded(text):
            return {"equals-ignore-case": text}
        case Wildcard(parts):
            return {"wildcard": _starred(parts)}
        case Other(than):
            return {"anything-but": _than(than)}
        case Within(area):
            return {"geo-within": _area(area)}
        case Outside(area):
            return {"geo-outside": _area(area)}


def plain(number: float) -> float:
    """Return a whole number without a fraction."""
    return (
        int(number)
        if isinstance(number, float) and number.is_integer() and abs(number) < EXACT
        else number
    )


def _bounds(matcher: Range) -> list[Any]:
    low, high = plain(matcher.low), plain(matcher.high)
    if low == high:
        return ["=", low]
    bounds: list[Any] = []
    if low != float("-inf"):
        bounds += [">=" if matcher.low_included else ">", low]
    if high != float("inf"):
        bounds += ["<=" if matcher.high_included else "<", high]
    return bounds


def _starred(parts: tuple[str, ...]) -> str:
    return "*".join(part.replace("\\", "\\\\").replace("*", "\\*") for part in parts)


def _than(than: tuple[Any, ...]) -> Any:  # noqa: ANN401 - JSON
    written = [element(each) for each in than]
    if not isinstance(written[0], dict):
        return written if len(written) > 1 else written[0]
    ((name, _),) = written[0].items()
    operands = [each[name] for each in written]
    return {name: operands if len(operands) > 1 else operands[0]}


def _area(area: Area) -> Json:
    if isinstance(area, Fenced):
        return {"geofence": list(area.ids) if len(area.ids) > 1 else area.ids[0]}
    if isinstance(area, Circle):
        center = {"lat": plain(area.lat), "lng": plain(area.lng)}
        return {"circle": {"center": center, "radius_m": plain(area.radius_m)}}
    rings = [[[plain(lng), plain(lat)] for lng, lat in ring] for ring in area.rings]
    return {"polygon": {"type": "Polygon", "coordinates": rings}}
