"""The readable evaluator: a filter as nested functions, one event at a time.

What holds of an array holds of one of its elements: of a leaf one scalar, of a pattern one object
for all that is said below. `bitmap` answers for many filters at once and always says the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from services.kernel.event import Json
from services.match.fences import Fences
from services.match.filters.holds import (
    MISSING,
    elements,
    position_test,
    positions,
    scalar_test,
    scalars,
)
from services.match.filters.tree import Exists, Leaf, Outside, Row, Within

Evaluator: TypeAlias = Callable[[Json], bool]
Check: TypeAlias = Callable[[Any], bool]
"""Of a value that may be MISSING."""

NOTHING: Json = {}
"""What a scalar in the place of an object is: an object without fields."""


def evaluator(all_rows: Sequence[Row], fences: Fences) -> Evaluator:
    """Return the filter of these rows as a function of an event."""
    compiled = [compile_row(row, fences) for row in all_rows]
    if len(compiled) == 1:
        return compiled[0]
    return lambda event: any(holds(event) for holds in compiled)


def compile_row(row: Row, fences: Fences) -> Evaluator:
    """Return one conjunction as a function of an object."""
    checks = [
        (name, compile_leaf(below, fences) if isinstance(below, Leaf) else _below(below, fences))
        for name, below in row.items()
    ]

    def holds(obj: Json) -> bool:
        for name, check in checks:  # noqa: SIM110 - a loop is twice as fast as all()
            if not check(obj.get(name, MISSING)):
                return False
        return True

    return holds


def compile_leaf(leaf: Leaf, fences: Fences) -> Check:
    """Return what is asked of one field."""
    if leaf.is_geo:
        tests = [
            position_test(each, fences)
            for each in leaf.matchers
            if isinstance(each, Within | Outside)
        ]
        return lambda value: any(
            holds(lat, lng) for lat, lng in positions(value) for holds in tests
        )
    if_missing = Exists(expected=False) in leaf.matchers
    scalar_tests = [
        scalar_test(each)
        for each in leaf.matchers
        if not isinstance(each, Within | Outside) and each != Exists(expected=False)
    ]

    def check(value: Any) -> bool:  # noqa: ANN401 - JSON
        if value is MISSING or value.__class__ is dict:
            return if_missing
        if value.__class__ is list:
            found = False
            for each in scalars(value):
                found = True
                if any(holds(each) for holds in scalar_tests):
                    return True
            return if_missing and not found
        return any(holds(value) for holds in scalar_tests)

    return check


def _below(row: Row, fences: Fences) -> Check:
    holds = compile_row(row, fences)
    absent = holds(NOTHING)

    def check(value: Any) -> bool:  # noqa: ANN401 - JSON
        if value.__class__ is dict:
            return holds(value)
        if value.__class__ is list:
            return any(
                holds(each) if each.__class__ is dict else absent for each in elements(value)
            )
        return absent

    return check
