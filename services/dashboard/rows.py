"""A filter as rows of field, comparison and value; and as the pattern that the API takes. Pure.

Rows are the simple part of the language: all fields must fit, and of two rows on one field either
suffices. What they can't say is written as JSON.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from services.kernel.errors import Fault

WORDS = (
    ("is", "is"),
    ("is-not", "is not"),
    ("prefix", "begins with"),
    ("suffix", "ends with"),
    ("wildcard", "looks like"),
    (">", "is above"),
    (">=", "is at least"),
    ("<", "is below"),
    ("<=", "is at most"),
    ("exists", "is there"),
    ("missing", "is missing"),
)
"""Comparisons, as forms name them and as people read them."""
FEWEST, MOST = 3, 12
TWICE = "another row asks for a field inside this one: write such a filter as JSON"


class Row(NamedTuple):
    """One condition, as typed."""

    path: str
    """Field names with dots between: `data.stop.external_id`."""
    comparison: str
    value: str

    @property
    def pointer(self) -> str:
        """Where its field stands in the body of the API."""
        return "/filter/" + "/".join(self.path.split("."))


def rows_of(paths: Sequence[str], comparisons: Sequence[str], values: Sequence[str]) -> list[Row]:
    """Return the rows of a form; those without a field are left out."""
    found = zip(paths, comparisons, values, strict=False)
    return [Row(path.strip(), how, value) for path, how, value in found if path.strip()][:MOST]


def filter_of(rows: Sequence[Row]) -> tuple[Any, list[Fault]]:
    """Return the pattern that *rows* mean, None where there is none, and what can't be said so."""
    pattern: dict[str, Any] = {}
    faults = []
    for row in rows:
        *parents, name = row.path.split(".")
        place: Any = pattern
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        leaf = place.setdefault(name, []) if isinstance(place, dict) else None
        if isinstance(leaf, list):
            leaf.append(_leaf(row))
        else:
            faults.append(Fault("twice", TWICE, row.pointer))
    return pattern or None, faults


def _leaf(row: Row) -> Any:  # noqa: ANN401 - JSON
    match row.comparison:
        case "is-not":
            return {"anything-but": _scalar(row.value)}
        case ">" | ">=" | "<" | "<=":
            return {"numeric": [row.comparison, _scalar(row.value)]}
        case "prefix" | "suffix" | "wildcard":
            return {row.comparison: row.value}
        case "exists" | "missing":
            return {"exists": row.comparison == "exists"}
        case _:
            return _scalar(row.value)


def _scalar(text: str) -> Any:  # noqa: ANN401 - JSON
    """Return a number, true, false, null or a quoted text as JSON says it; else the text itself."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(found, (dict, list)) else found
