"""What each matcher means: one test per matcher, of one scalar or of one position.

Both evaluators, the explanations and the check of enums use these, so that a matcher means one
thing. Numbers are compared by their exact value, strings by code point; case is ignored by
`str.casefold()` on both sides. A value of another kind is never an error: no matcher holds for it,
and `anything-but` therefore does.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from services.match.fences import Fences
from services.match.filters.tree import (
    Area,
    Constant,
    Exists,
    Fenced,
    Folded,
    GeoMatcher,
    Number,
    Other,
    Prefix,
    Range,
    ScalarMatcher,
    Suffix,
    Text,
    Wildcard,
    Within,
)
from services.match.geometry import Shape, readable

Test: TypeAlias = Callable[[Any], bool]
NUMBERS: frozenset[object] = frozenset({int, float})


class Missing:
    """Where an event has no such field."""

    def __repr__(self) -> str:
        return "missing"


MISSING = Missing()


def scalar_test(matcher: ScalarMatcher) -> Test:  # noqa: C901, PLR0911 - one case each
    """Return the test of a scalar that is there."""
    match matcher:
        case Text(text):
            return lambda v: v == text  # a string equals nothing but a string
        case Number(number):
            return lambda v: v == number and v.__class__ is not bool  # True is 1 in Python
        case Constant(constant):
            return lambda v: v is constant
        case Exists(expected):
            return lambda _: expected
        case Range():
            return _range(matcher)
        case Other(than):
            tests = [scalar_test(each) for each in than]
            return lambda v: not any(holds(v) for holds in tests)
        case Prefix(text, folded):
            return _prefix(text.casefold() if folded else text, folded=folded)
        case Suffix(text, folded):
            return _suffix(text.casefold() if folded else text, folded=folded)
        case Folded(text):
            return _folded(text.casefold())
        case Wildcard(parts):
            return _wildcard(parts)


def position_test(matcher: GeoMatcher, fences: Fences) -> Callable[[float, float], bool]:
    """Return the test of a readable position, (lat, lng)."""
    shapes = area_shapes(matcher.area, fences)
    if isinstance(matcher, Within):
        return lambda lat, lng: any(shape.contains(lat, lng) for shape in shapes)
    # Of fences that are all gone nothing is outside either.
    return lambda lat, lng: bool(shapes) and not any(shape.contains(lat, lng) for shape in shapes)


def area_shapes(area: Area, fences: Fences) -> list[Shape]:
    """Return what an area consists of now: fences that are gone or disabled drop out."""
    if isinstance(area, Fenced):
        return [shape for id_ in area.ids if (shape := fences.shape(id_)) is not None]
    return [area]


def scalars(values: list[Any]) -> Iterator[Any]:
    """Yield the scalars in an array and in the arrays in it; objects are passed over."""
    stack = [values]
    while stack:
        for value in stack.pop():
            if value.__class__ is list:
                stack.append(value)
            elif value.__class__ is not dict:
                yield value


def elements(values: list[Any]) -> Iterable[Any]:
    """Return what is in an array and in the arrays in it; an empty one is MISSING once."""
    for value in values:
        if value.__class__ is list:
            return _flat(values)
    return values or (MISSING,)


def _flat(values: list[Any]) -> Iterator[Any]:
    stack = [values]
    while stack:
        inner = stack.pop()
        if not inner:
            yield MISSING
        for value in inner:
            if value.__class__ is list:
                stack.append(value)
            else:
                yield value


def positions(value: Any) -> Iterator[tuple[float, float]]:  # noqa: ANN401 - JSON
    """Yield the readable positions in a value, (lat, lng): itself, or those of an array."""
    for each in elements(value) if value.__class__ is list else (value,):
        position = readable(each)
        if position is not None:
            yield position


def _range(matcher: Range) -> Test:
    low, high = matcher.low, matcher.high
    if matcher.low_included and matcher.high_included:
        return lambda v: v.__class__ in NUMBERS and low <= v <= high
    if matcher.low_included:
        return lambda v: v.__class__ in NUMBERS and low <= v < high
    if matcher.high_included:
        return lambda v: v.__class__ in NUMBERS and low < v <= high
    return lambda v: v.__class__ in NUMBERS and low < v < high


# Casefolding makes one character or more of each, whatever stands around it: so as many characters
# as were asked for are enough, and a long string costs no more than a short one.


def _prefix(text: str, *, folded: bool) -> Test:
    if not folded:
        return lambda v: v.__class__ is str and v.startswith(text)
    size = len(text)
    return lambda v: v.__class__ is str and v[:size].casefold().startswith(text)


def _suffix(text: str, *, folded: bool) -> Test:
    if not folded:
        return lambda v: v.__class__ is str and v.endswith(text)
    size = len(text)
    return lambda v: v.__class__ is str and v[-size:].casefold().endswith(text)


def _folded(text: str) -> Test:
    size = len(text)
    return lambda v: v.__class__ is str and len(v) <= size and v.casefold() == text


def _wildcard(parts: tuple[str, ...]) -> Test:
    if len(parts) == 1:
        (only,) = parts
        return lambda v: v == only
    first, *middle, last = parts
    least = sum(map(len, parts))
    ends = len(last)

    def holds(v: Any) -> bool:  # noqa: ANN401 - a scalar
        if v.__class__ is not str or len(v) < least:
            return False
        if not v.startswith(first) or not v.endswith(last):
            return False
        at, end = len(first), len(v) - ends
        for part in middle:
            at = v.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return holds
