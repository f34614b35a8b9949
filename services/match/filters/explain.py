"""Why an event doesn't match: the clauses that failed, with what was there instead.

By the closures' own tests. Of an array of objects the element is told of that came closest.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from services.kernel.event import Json
from services.match.fences import Fences
from services.match.filters.closures import NOTHING, Check, compile_leaf
from services.match.filters.holds import MISSING, area_shapes, elements, positions
from services.match.filters.limits import EXPLAINED
from services.match.filters.normal import element
from services.match.filters.tree import Leaf, Outside, Row, Within

_JSON = json.JSONEncoder(ensure_ascii=False)


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


class _Failed(NamedTuple):
    """A clause that doesn't hold, and what was there."""

    leaf: Leaf
    value: object


def explain(all_rows: Sequence[Row], event: Json, fences: Fences) -> Explanation:
    """Return why *event* matches or doesn't."""
    clauses, branches = _Clauses(fences), []
    for row in all_rows:
        failed = clauses.failed(row, event)
        if not failed:
            return Explanation(matched=True)
        branches.append(Branch(tuple(_miss(leaf, value, fences) for leaf, value in failed)))
    nearest = sorted(branches, key=lambda branch: len(branch.misses))
    different = {tuple(miss.pointer for miss in branch.misses): branch for branch in nearest}
    return Explanation(matched=False, branches=tuple(different.values()))


def refusing(all_rows: Sequence[Row], event: Json, fences: Fences) -> list[str]:
    """Return the pointers of the nearest branch's clauses that failed; none: *event* matches."""
    clauses = _Clauses(fences)
    nearest: list[_Failed] | None = None
    for row in all_rows:
        failed = clauses.failed(row, event)
        if nearest is None or len(failed) < len(nearest):
            nearest = failed
    return [leaf.pointer for leaf, _ in nearest or ()]


class _Clauses:
    """The tests of clauses; each made once, however many elements it is tried on."""

    def __init__(self, fences: Fences) -> None:
        self._fences = fences
        self._checks: dict[int, Check] = {}
        """By the identity of a leaf: its hash takes in all that it says."""

    def failed(self, row: Row, obj: Json) -> list[_Failed]:
        """Return what doesn't hold of *obj*."""
        return list(self._failed(row, obj))

    def _failed(self, row: Row, obj: Json) -> Iterator[_Failed]:
        for name, below in row.items():
            value = obj.get(name, MISSING)
            if isinstance(below, Leaf):
                if not self._check(below)(value):
                    yield _Failed(below, value)
            else:
                yield from self._below(below, value)

    def _check(self, leaf: Leaf) -> Check:
        check = self._checks.get(id(leaf))
        if check is None:
            check = self._checks[id(leaf)] = compile_leaf(leaf, self._fences)
        return check

    def _below(self, row: Row, value: object) -> list[_Failed]:
        if isinstance(value, dict):
            return self.failed(row, value)
        if not isinstance(value, list):
            return self.failed(row, NOTHING)
        nearest: list[_Failed] | None = None
        for each in elements(value):
            failed = self.failed(row, each if isinstance(each, dict) else NOTHING)
            if not failed:
                return []
            if nearest is None or len(failed) < len(nearest):
                nearest = failed
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
        text = ""
        for piece in _JSON.iterencode(value):  # no further than is shown, however deep it goes
            text += piece
            if len(text) > EXPLAINED:
                return text[:EXPLAINED] + "…"
    return value
