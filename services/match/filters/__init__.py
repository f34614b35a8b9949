"""Filters: event patterns of EventBridge's dialect, over the whole event, with geography.

    {"data": {"report": {"tasks": {"status": ["canceled"]}}, "stop": {"type": ["pickup"]}}}

JSON shaped like the event, with arrays of accepted values at its leaves: all keys must hold, one
value of a leaf suffices. It is data, never code: it can be checked, shown, stored and indexed.

    loading     the one strict loader; leaves marks where JSON lets pass what we don't
    parse       from JSON to a tree, or to every fault at once; operators, areas, limits beside it
    fields fit  what events have at a path, from their schemas: a filter that never matches is told
    tree        what a filter is, and its rows: conjunctions, once every `$or` is expanded
    holds       what each matcher means, once for all that follow
    closures    one filter at a time, readable; few subscriptions, explanations, the reference
    bitmap      many filters in one walk over the event; says what closures say. Below it tables, what
                many say about one field, with lookups; places, what they say about one position
    explain     the clauses that failed, with what was there instead
    normal      how a filter is stored and shown

Everything here is pure. A filter is a function of one event and the project's stored geofences,
which are swapped whole and never part of a tree.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from services.kernel.errors import Fault
from services.kernel.event import Json
from services.match import types as type_patterns
from services.match.fences import NO_FENCES, Fences
from services.match.filters import explain as explanations
from services.match.filters.closures import Evaluator
from services.match.filters.closures import evaluator as _evaluator
from services.match.filters.explain import Explanation
from services.match.filters.fit import Scope, warn_of_types
from services.match.filters.loading import NotJsonError, load, marks
from services.match.filters.normal import normal
from services.match.filters.parse import parse
from services.match.filters.report import Report, in_document_order
from services.match.filters.tree import Pattern, Row, leaves, rows
from services.match.geometry import Box

__all__ = [
    "Checked",
    "Evaluator",
    "Explanation",
    "Filter",
    "NotJsonError",
    "check",
    "clauses",
    "evaluator",
    "explain",
    "load",
    "marks",
    "matches",
    "refusing",
    "stored",
]


class Filter:
    """A filter that was understood. Parsed once per stored version, and kept."""

    __slots__ = ("pattern", "rows")

    def __init__(self, pattern: Pattern) -> None:
        self.pattern = pattern
        self.rows: Sequence[Row] = rows(pattern)


class Checked(NamedTuple):
    """What there is to say of a filter."""

    faults: Sequence[Fault]
    """Everything wrong with it, at most fifty, in document order."""
    warnings: Sequence[Fault]
    """What is odd; it can be saved all the same."""
    normal: Json | None
    """How it is stored and shown; None where it isn't valid."""
    tree: Filter | None


def check(
    filter: object,  # noqa: A002 - the field's name
    *,
    types: Sequence[str],
    geofences: Collection[str] | None,
    schema: bool = True,
    pointer: str = "/filter",
    around: Box | None = None,
) -> Checked:
    """Return all that is wrong or odd with *filter*, JSON as `load` returns it.

    *types* are the patterns beside it, whose own faults are told elsewhere; *geofences* the ids
    that exist, None: whatever is named may. Without *schema* nothing is compared with what the
    events of these types have. *around* is where the project works, to see that a polygon's
    coordinates are swapped.
    """
    report = Report()
    selected = _selected(types) if schema else []
    pattern = parse(
        filter,
        pointer=pointer,
        report=report,
        scope=Scope.of(selected) if selected else None,
        geofences=geofences,
        around=around,
    )
    if pattern is not None and selected:
        warn_of_types(pattern, selected, report)
    return Checked(
        faults=in_document_order(report.faults, filter, pointer),
        warnings=in_document_order(report.warnings, filter, pointer),
        normal=None if pattern is None else normal(pattern),
        tree=None if pattern is None else Filter(pattern),
    )


def stored(text: str) -> Filter | None:
    """Return the filter that was stored as *text*; None where it can't be read any more."""
    try:
        written = load(text.encode())
    except NotJsonError:
        return None
    return check(written, types=(), geofences=None, schema=False).tree


def evaluator(tree: Filter, fences: Fences | None = None) -> Evaluator:
    """Return a filter as a function of an event's body: for many events."""
    return _evaluator(tree.rows, fences or NO_FENCES)


def matches(tree: Filter, event: Json, fences: Fences | None = None) -> bool:
    """Tell whether one event matches."""
    return evaluator(tree, fences)(event)


def explain(tree: Filter, event: Json, *, fences: Fences | None = None) -> Explanation:
    """Return whether an event matches, and if not, which clauses failed."""
    return explanations.explain(tree.rows, event, fences or NO_FENCES)


def refusing(tree: Filter, event: Json, *, fences: Fences) -> list[str]:
    """Return the pointers of the clauses that say no to an event, where it came nearest.

    As `explain` does, without what was there instead: for statistics. None: it matches.
    """
    return explanations.refusing(tree.rows, event, fences)


def clauses(tree: Filter) -> Mapping[str, str]:
    """Return the dotted path of each clause, by its pointer."""
    return {leaf.pointer: leaf.dotted for leaf in leaves(tree.pattern)}


def _selected(types: Sequence[str]) -> list[str]:
    found = dict.fromkeys(
        type_
        for written in types
        if isinstance(written, str)
        for type_ in type_patterns.selected(written)
    )
    return list(found)
