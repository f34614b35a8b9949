"""Older names of fields. Only keys change, at any depth, never inside `custom_fields`.

Where the new key is there already, the first of the two stays.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from services.catalogue import VERBATIM
from services.kernel.event import Json


class Naming(NamedTuple):
    """How one generation of clients calls the fields."""

    rules: tuple[tuple[re.Pattern[str], str], ...]
    """The first that matches a whole key applies."""
    dropped: frozenset[str]
    verbatim: frozenset[str]
    """Keys below which nothing is renamed."""


def _naming(*rules: tuple[str, str], dropped: str = "", verbatim: str = "") -> Naming:
    return Naming(
        tuple((re.compile(pattern), name) for pattern, name in rules),
        frozenset(dropped.split()),
        frozenset({*VERBATIM, *verbatim.split()}),
    )


PLANNER_V2 = _naming(
    (r"(from_|to_)?route(s|_ids?)?", r"\1driver\2"),
    (r"total_routes", "total_drivers"),
    (r"routes_(.+)", r"drivers_\1"),
    verbatim="survey",
)
HIGHWAY_V1 = _naming(
    (r"distance_to_(previous|next)_stop", r"distance_to_\1_location"),
    (r"(next_)?stop(s|_ids?)?", r"\1service\2"),
    (r"(.+)_stops", r"\1_services"),
    (r"(default_)?time_window(s?)", r"\1timewindow\2"),
    dropped="driver_id",
)


def renamed(data: Json, naming: Naming) -> Json:
    """Return *data* with the names of an older client; *data* itself stays as it is."""
    found: Json = {}
    for key, value in data.items():
        if key in naming.dropped:
            continue
        name = _name(key, naming)
        if name not in found:
            found[name] = value if key in naming.verbatim else _inside(value, naming)
    return found


def _inside(value: Any, naming: Naming) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return renamed(value, naming)
    if isinstance(value, list):
        return [_inside(item, naming) for item in value]
    return value


@lru_cache(maxsize=2048)
def _name(key: str, naming: Naming) -> str:
    for pattern, name in naming.rules:
        found = pattern.fullmatch(key)
        if found is not None:
            return found.expand(name)
    return key
