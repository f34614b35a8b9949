"""Why an event doesn't match: the clauses that failed, with what was there instead.

By the closures' own tests. Of an array of objects the element is told of that came closest.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from services.kernel.event import Json
from services.match.fences import Fences
from services.match.filters.closures import NOTHING, compile_leaf
from services.match.filters.holds import MISSING, area_shapes, elements, positions
from services.match.filters.limits import EXPLAINED
from services.match.filters.normal import element
from services.match.filters.tree import Leaf, Outside, Row, Within


class Miss(NamedTuple):
    """A clause that doesn't hold."""

    pointer: str
    """Of the clause, in the filter as it was checked."""
    path: str
    """Of the field, dotted."""
    wanted: Any
    """The clause, as JSON."""
    actual: Any
    """What the event has there, cut; None also where it has nothing: see *note*."""
    note: str | None = None
    """`missing`, `null`, or a sentence: how far a border is, that a position can't be read."""
    metres: float | None = None
    """To the nearest border of what was asked for."""


class Branch(NamedTuple):
    """One combination of `$or` branches: all of its clauses would have to hold."""

    misses: tuple[Miss, ...]


class Explanation(NamedTuple):
    """Whether an event matches, and if not, why."""

    matched: bool
    branches: tuple[Branch, ...] = ()
    """Nearest first: the fewest clauses that failed. Empty where it matched."""


def explain(all_rows: Sequence[Row], event: Json, fences: Fences) -> Explanation:
    """Return why *event* matches or doesn't."""
    branches = []
    for row in all_rows:
        misses = tuple(_row(row, event, fences))
        if not misses:
            return Explanation(matched=True)
        branches.append(Branch(misses))
    nearest = sorted(branches, key=lambda branch: len(branch.misses))
    different = {tuple(miss.pointer for miss in branch.misses): branch for branch in nearest}
    return Explanation(matched=False, branches=tuple(different.values()))


def _row(row: Row, obj: Json, fences: Fences) -> Iterator[Miss]:
    for name, below in row.items():
        value = obj.get(name, MISSING)
        if isinstance(below, Leaf):
            if not compile_leaf(below, fences)(value):
                yield _miss(below, value, fences)
        else:
            yield from _below(below, value, fences)


def _below(row: Row, value: object, fences: Fences) -> list[Miss]:
    if isinstance(value, dict):
        return list(_row(row, value, fences))
    if not isinstance(value, list):
        return list(_row(row, NOTHING, fences))
    nearest: list[Miss] | None = None
    for each in elements(value):
        misses = list(_row(row, each if isinstance(each, dict) else NOTHING, fences))
        if not misses:
            return []
        if nearest is None or len(misses) < len(nearest):
            nearest = misses
    return nearest or []


def _miss(leaf: Leaf, value: object, fences: Fences) -> Miss:
    note, metres = None, None
    if value is MISSING:
        note = "missing"
    elif value is None:
        note = "null"
    elif leaf.is_geo:
        note, metres = _distance(leaf, value, fences)
    elif isinstance(value, dict):
        note = "an object, where a single value is asked for"
    return Miss(
        pointer=leaf.pointer,
        path=leaf.dotted,
        wanted=[element(matcher) for matcher in leaf.matchers],
        actual=None if value is MISSING else cut(value),
        note=note,
        metres=metres,
    )


def _distance(leaf: Leaf, value: object, fences: Fences) -> tuple[str, float | None]:
    found = list(positions(value))
    if not found:
        return "no position that can be read: neither within nor outside", None
    shapes = [
        shape
        for matcher in leaf.matchers
        if isinstance(matcher, Within | Outside)
        for shape in area_shapes(matcher.area, fences)
    ]
    if not shapes:
        return "the geofence is disabled or gone: nothing is within it or outside of it", None
    metres = min(shape.metres_to_border(lat, lng) for lat, lng in found for shape in shapes)
    where = "inside" if isinstance(leaf.matchers[0], Outside) else "outside"
    return f"{metres:,.0f} m {where} the border", round(metres, 1)


def cut(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return *value*, or the beginning of its text where it is long."""
    if isinstance(value, str):
        return value if len(value) <= EXPLAINED else value[:EXPLAINED] + "…"
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
        return value if len(text) <= EXPLAINED else text[:EXPLAINED] + "…"
    return value
