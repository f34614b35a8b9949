"""Whether what a filter asks for can be: no field of its name, no value of its kind.

The filter that silently never matches is the worst there is; here it is told when it is written.
"""

import difflib
import json
from collections.abc import Mapping, Sequence

from services.match.filters.fields import Shape, event_shape, nearest
from services.match.filters.holds import scalar_test
from services.match.filters.report import Report
from services.match.filters.tree import (
    Constant,
    Exists,
    Leaf,
    Matcher,
    Number,
    Other,
    Outside,
    Pattern,
    Range,
    Row,
    StringMatcher,
    Text,
    Within,
    row_leaves,
    rows,
)

POSITIONS = "vehicle.position"
NAMED = 5
"""Types or fields that a message names."""


class Scope:
    """What may stand at one path, by selected type; a type without the path is left out."""

    def __init__(self, shapes: Mapping[str, Shape], path: tuple[str, ...], root: "Scope") -> None:
        self._shapes = shapes
        self._path = path
        self._root = root

    @classmethod
    def of(cls, types: Sequence[str]) -> "Scope":
        """Return the scope of whole events."""
        scope = cls.__new__(cls)
        scope.__init__({type_: event_shape(type_) for type_ in types}, (), scope)  # type: ignore[misc]
        return scope

    def child(self, name: str, pointer: str, report: Report) -> "Scope | None":
        """Return the scope of a field; None where nothing is known, or it is no field at all."""
        shapes = list(self._shapes.values())
        if any(shape.is_open for shape in shapes):
            return None
        path = (*self._path, name)
        found = {
            type_: below
            for type_, shape in self._shapes.items()
            if (below := shape.child(name)) is not None
        }
        if found:
            return Scope(found, path, self._root)
        near = nearest(path, list(self._root._shapes))  # noqa: SLF001 - of its own kind
        dotted = ".".join(path)
        if near == dotted:
            hint = f": a dot is part of a name, write {_nested(name)}"
        else:
            hint = f': did you mean "{near}"?' if near else ""
        report.fault("unknown_field", f"no selected type has a field {dotted!r}{hint}", pointer)
        return None

    def leaf(
        self,
        elements: Sequence[tuple[Matcher, str]],
        pointer: str,
        report: Report,
    ) -> None:
        """Note what can match in no selected type. *elements* come with their places."""
        shapes = list(self._shapes.values())
        if any(shape.is_open for shape in shapes):
            return
        dotted = ".".join(self._path)
        asks_place = any(isinstance(matcher, Within | Outside) for matcher, _ in elements)
        if not asks_place and not any(shape.kinds for shape in shapes):
            names = list(dict.fromkeys(name for shape in shapes for name in shape.names))
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            message = (
                f"{dotted} is an object: ask for a field of it, {', '.join(names[:NAMED])}{more}"
            )
            report.fault("type_mismatch", message, pointer)
            return
        for matcher, place in elements:
            problem = _mismatch(matcher, shapes, dotted)
            if problem is not None:
                report.fault("type_mismatch", problem, place)
            elif matcher == Constant(None) and not any("null" in shape.kinds for shape in shapes):
                message = f'{dotted} is never null; for a missing field write {{"exists": false}}'
                report.warn("never_null", message, place)


def warn_of_types(pattern: Pattern, types: Sequence[str], report: Report) -> None:
    """Warn of selected types for which the filter can't be true."""
    all_rows = rows(pattern)
    never: dict[tuple[str, str], list[str]] = {}
    for type_ in types:
        shape = event_shape(type_)
        missing = [_first_impossible(row, shape) for row in all_rows]
        if all(missing):
            leaf = missing[0]
            assert leaf is not None  # noqa: S101 - all of them are some
            never.setdefault((leaf.pointer, leaf.dotted), []).append(type_)
    count = sum(map(len, never.values()))
    for (place, dotted), names in never.items():
        listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        if count == len(types):
            message = f"never true for any selected type: {dotted} can't be so in {listed}"
        else:
            message = f"never true for {listed}: {dotted} can't be so there"
        report.warn("never_true", message, place)
    if POSITIONS in types:
        for leaf in (leaf for row in all_rows for leaf in row_leaves(row)):
            if any(isinstance(matcher, Within) for matcher in leaf.matchers):
                message = (
                    "every position inside is sent, not only the first:"
                    " vehicle.geofence.entered tells once"
                )
                report.warn("every_position", message, leaf.pointer)


def _first_impossible(row: Row, shape: Shape) -> Leaf | None:
    for name, below in row.items():
        if shape.is_open:
            return None
        inner = shape.child(name)
        if isinstance(below, Leaf):
            if inner is None:
                if Exists(expected=False) not in below.matchers:
                    return below
            elif not inner.is_open and all(_is_never(matcher, inner) for matcher in below.matchers):
                return below
        elif inner is None:
            absent = [
                leaf for leaf in row_leaves(below) if Exists(expected=False) not in leaf.matchers
            ]
            if absent:
                return absent[0]
        else:
            found = _first_impossible(below, inner)
            if found is not None:
                return found
    return None


def _is_never(matcher: Matcher, shape: Shape) -> bool:
    """Tell whether *matcher* holds for nothing that may stand there as its schema is today.

    A range or a list of values may grow, which makes less than a mismatch of these.
    """
    if isinstance(matcher, Number):
        matcher = Range(matcher.value, True, matcher.value, True)  # noqa: FBT003 - both included
    if isinstance(matcher, Range) and "number" in shape.kinds:
        is_below = matcher.high < shape.least or (
            matcher.high == shape.least and not matcher.high_included
        )
        is_above = matcher.low > shape.most or (
            matcher.low == shape.most and not matcher.low_included
        )
        return is_below or is_above
    if isinstance(matcher, Other) and shape.kinds == {"string"} and shape.values:
        return not any(map(scalar_test(matcher), shape.values))
    return _mismatch(matcher, [shape], "") is not None


def _mismatch(matcher: Matcher, shapes: Sequence[Shape], dotted: str) -> str | None:  # noqa: PLR0911 - one case each
    """Return why *matcher* holds for nothing that may stand in any of *shapes*."""
    kinds = set().union(*(shape.kinds for shape in shapes))
    if isinstance(matcher, Within | Outside):
        if any(shape.is_position for shape in shapes):
            return None
        return f"{dotted} is not a position: it has no numeric lat and lng"
    if isinstance(matcher, Exists | Other) or matcher == Constant(None):
        return None
    if isinstance(matcher, Number | Range):
        return None if "number" in kinds else _wrong_kind(dotted, kinds, "a number", matcher)
    if isinstance(matcher, Constant):
        return None if "boolean" in kinds else _wrong_kind(dotted, kinds, "true or false", matcher)
    if "string" not in kinds:
        return _wrong_kind(dotted, kinds, "a string", matcher)
    return _not_in_enum(matcher, shapes, dotted)


def _not_in_enum(matcher: StringMatcher, shapes: Sequence[Shape], dotted: str) -> str | None:
    enums = [shape.values for shape in shapes if "string" in shape.kinds]
    if any(values is None for values in enums):
        return None
    values = sorted(set().union(*(values for values in enums if values is not None)))
    holds = scalar_test(matcher)
    if any(map(holds, values)):
        return None
    asked = json.dumps(matcher.value, ensure_ascii=False) if isinstance(matcher, Text) else "this"
    near = (
        difflib.get_close_matches(matcher.value, values, n=1) if isinstance(matcher, Text) else []
    )
    hint = f': did you mean "{near[0]}"?' if near else ""
    return f"{dotted} is one of {', '.join(values)}, never {asked}{hint}"


def _wrong_kind(dotted: str, kinds: set[str], asked: str, matcher: Matcher) -> str:
    is_ = " or ".join(f"a {kind}" for kind in sorted(kinds - {"null"})) or "an object"
    hint = ""
    if (isinstance(matcher, Text) and "number" in kinds and _is_number(matcher.value)) or (
        isinstance(matcher, Text) and "boolean" in kinds and matcher.value in ("true", "false")
    ):
        hint = f": write {matcher.value}, without quotes"
    elif isinstance(matcher, Number) and kinds == {"string"}:
        hint = f': write "{matcher.value:g}"'
    return f"{dotted} is {is_}, never {asked}{hint}"


def _nested(name: str) -> str:
    first, *rest = name.split(".")
    return f'{{"{first}": {_nested(".".join(rest))}}}' if rest else f'{{"{first}": […]}}'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
