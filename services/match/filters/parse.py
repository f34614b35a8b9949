"""From JSON to a tree, or to everything that is wrong with it: one walk, nothing is repaired."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.kernel.errors import escape
from services.match.filters.fit import Scope
from services.match.filters.limits import (
    BRANCHES,
    FIELD_NAME,
    FIELDS,
    FILTER_BYTES,
    GEO_OPERATORS,
    LEAVES,
    NESTING,
    ROWS,
    VALUES,
)
from services.match.filters.loading import BadNumber, key_faults
from services.match.filters.operators import OPERATORS, Elements
from services.match.filters.report import Report, kind
from services.match.filters.tree import (
    Area,
    Fenced,
    Leaf,
    Matcher,
    Outside,
    Pattern,
    Within,
    count_rows,
)
from services.match.geometry import Box, Polygon


class _Walk:
    """One walk over one filter."""

    def __init__(
        self, report: Report, geofences: Collection[str] | None, around: Box | None
    ) -> None:
        self._report = report
        self._geofences = geofences
        self._around = around
        self._elements = Elements(report)
        self._leaves = 0
        self._geo = 0

    def pattern(
        self,
        value: dict[str, Any],
        pointer: str,
        path: tuple[str, ...],
        scope: Scope | None,
        depth: int,
    ) -> Pattern:
        """Return what is valid of an object."""
        report = self._report
        if not value:
            report.fault("empty", "empty object: name at least one field, or leave it out", pointer)
        report.over("fields in one object", len(value), FIELDS, pointer)
        if depth > NESTING:
            report.fault("limit", f"nested over {NESTING} levels, {NESTING} are allowed", pointer)
            return Pattern(())
        report.faults += key_faults(value, pointer)
        fields: list[tuple[str, Leaf | Pattern]] = []
        either: tuple[Pattern, ...] = ()
        for name, below in value.items():
            place = f"{pointer}/{escape(name)}"
            if name == "$or":
                either = self._either(below, place, path, scope, depth)
            elif self._is_name(name, place):
                inner = scope.child(name, place, report) if scope is not None else None
                found = self._field(below, place, (*path, name), inner, depth)
                if found is not None:
                    fields.append((name, found))
        return Pattern(tuple(fields), either)

    def _is_name(self, name: str, pointer: str) -> bool:
        if name.startswith("$"):
            self._report.fault("reserved", f'{name[:128]!r}: only "$or" exists', pointer)
            return False
        if not name:
            self._report.fault("empty", "empty field name", pointer)
            return False
        return not self._report.over("characters in a field name", len(name), FIELD_NAME, pointer)

    def _either(
        self, value: object, pointer: str, path: tuple[str, ...], scope: Scope | None, depth: int
    ) -> tuple[Pattern, ...]:
        if not isinstance(value, list) or len(value) < 2:  # noqa: PLR2004 - a choice
            message = '"$or" is an array of two or more objects: write [{…}, {…}]'
            self._report.fault("or", message, pointer)
            return ()
        if self._report.over('branches of one "$or"', len(value), BRANCHES, pointer):
            return ()
        found = []
        for n, branch in enumerate(value):
            if isinstance(branch, dict):
                found.append(self.pattern(branch, f"{pointer}/{n}", path, scope, depth + 1))
            else:
                message = f'a branch of "$or" is an object, got {kind(branch)}'
                self._report.fault("or", message, f"{pointer}/{n}")
        return tuple(found)

    def _field(
        self,
        value: Any,  # noqa: ANN401 - JSON
        pointer: str,
        path: tuple[str, ...],
        scope: Scope | None,
        depth: int,
    ) -> Leaf | Pattern | None:
        if isinstance(value, list):
            return self._leaf(value, pointer, path, scope)
        if not isinstance(value, dict):
            self._bare(value, pointer)
        elif OPERATORS.keys() & value.keys():
            message = f"a field is compared with an array: write [{_short(value)}]"
            self._report.fault("array", message, pointer)
        else:
            return self.pattern(value, pointer, path, scope, depth + 1)
        return None

    def _bare(self, value: object, pointer: str) -> None:
        if isinstance(value, BadNumber):
            self._report.expected("an array", value, pointer)
            return
        message = f"a field is compared with an array: write [{_short(value)}]"
        self._report.fault("array", message, pointer)

    def _leaf(
        self, value: list[Any], pointer: str, path: tuple[str, ...], scope: Scope | None
    ) -> Leaf | None:
        report = self._report
        self._leaves += 1
        if not value:
            report.fault("empty", "empty array: nothing could ever match", pointer)
        if report.over("values in one array", len(value), VALUES, pointer):
            return None
        found: list[tuple[Matcher, str]] = []
        for n, each in enumerate(value):
            place = f"{pointer}/{n}"
            matcher = self._elements.read(each, place)
            if matcher is not None:
                found.append((matcher, place))
        geo = [
            (matcher, place) for matcher, place in found if isinstance(matcher, Within | Outside)
        ]
        if geo:
            self._places(geo, found, pointer)
        if scope is not None and found:
            scope.leaf(found, pointer, report)
        matchers = tuple(dict.fromkeys(matcher for matcher, _ in found))
        return Leaf(pointer, path, matchers) if matchers else None

    def _places(
        self,
        geo: Sequence[tuple[Matcher, str]],
        found: Sequence[tuple[Matcher, str]],
        pointer: str,
    ) -> None:
        report = self._report
        self._geo += len(geo)
        if len(geo) < len(found):
            message = "geo-within and geo-outside stand with no other kind in one array"
            report.fault("geo", message, pointer)
        if self._geo > GEO_OPERATORS >= self._geo - len(geo):
            message = f"{self._geo} geo operators in one filter, {GEO_OPERATORS} are allowed"
            report.fault("limit", message, pointer)
        for matcher, place in geo:
            if isinstance(matcher, Within | Outside):
                operator = "geo-within" if isinstance(matcher, Within) else "geo-outside"
                self._area(matcher.area, f"{place}/{operator}")

    def _area(self, area: Area, pointer: str) -> None:
        if isinstance(area, Fenced) and self._geofences is not None:
            for n, id_ in enumerate(area.ids):
                if id_ not in self._geofences:
                    place = f"{pointer}/geofence" + (f"/{n}" if len(area.ids) > 1 else "")
                    message = f"no geofence {id_!r} in this project"
                    self._report.fault("geofence", message, place)
        elif isinstance(area, Polygon) and self._around is not None:
            box = area.box
            mirrored = Box(box.south, box.west, box.north, box.east)
            if mirrored.touches(self._around) and not box.touches(self._around):
                message = (
                    "the polygon is far from where the project works, its mirror image is not:"
                    " positions are [lng, lat], are the two swapped?"
                )
                self._report.warn("mirrored", message, f"{pointer}/polygon")

    def finish(self, tree: Pattern, pointer: str) -> None:
        """Note what only the whole shows."""
        report = self._report
        report.over("leaves", self._leaves, LEAVES, pointer)
        _said(tree, report)
        count = count_rows(tree)
        if count > ROWS:
            message = f'{count} combinations of "$or" branches, {ROWS} are allowed'
            report.fault("limit", message, pointer)


def parse(
    value: object,
    *,
    pointer: str,
    report: Report,
    scope: Scope | None = None,
    geofences: Collection[str] | None = None,
    around: Box | None = None,
) -> Pattern | None:
    """Return the tree of a filter; None where anything is wrong, which *report* then says."""
    if not isinstance(value, dict):
        report.expected("an object", value, pointer)
        return None
    size = compact_size(value)
    if report.over("bytes as compact JSON", size, FILTER_BYTES, pointer):
        return None  # and no walk: its cost is bounded by the limit
    walk = _Walk(report, geofences, around)
    tree = walk.pattern(value, pointer, (), scope, 1)
    walk.finish(tree, pointer)
    return None if report.faults else tree


def compact_size(value: object) -> int:
    """Return the bytes of *value* as compact JSON in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=repr)
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= FIELD_NAME else text[:FIELD_NAME] + "…"


@dataclass(slots=True)
class _Said:
    """What is said about a path: as a leaf, and below it."""

    leaf: str | None = None
    """The pointer."""
    below: "dict[str, _Said]" = field(default_factory=dict)


def _said(pattern: Pattern, report: Report) -> _Said:
    """Return what is said in a pattern; note what is said twice in one branch."""
    outside = _Said()
    for name, below in pattern.fields:
        outside.below[name] = (
            _Said(leaf=below.pointer) if isinstance(below, Leaf) else _said(below, report)
        )
    inside = _Said()
    for branch in pattern.either:
        said = _said(branch, report)
        _clash(outside, said, report)
        _unite(inside, said)
    _unite(outside, inside)
    return outside


def _clash(outside: _Said, inside: _Said, report: Report) -> None:
    """Note each path that both say something about where one of them is a leaf."""
    message = 'constrained both outside and inside "$or": merge the two into each branch'
    if inside.leaf is not None and (outside.leaf is not None or outside.below):
        report.fault("twice", message, inside.leaf)
    elif outside.leaf is not None and inside.below:
        for pointer in _pointers(inside):
            report.fault("twice", message, pointer)
    for name, below in inside.below.items():
        there = outside.below.get(name)
        if there is not None:
            _clash(there, below, report)


def _unite(one: _Said, other: _Said) -> None:
    one.leaf = one.leaf or other.leaf
    for name, below in other.below.items():
        if name in one.below:
            _unite(one.below[name], below)
        else:
            one.below[name] = below


def _pointers(said: _Said) -> list[str]:
    found = [said.leaf] if said.leaf is not None else []
    return found + [pointer for below in said.below.values() for pointer in _pointers(below)]
