"""The open-source corpora of filters, read where they lie; none of them is part of the project."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.kernel.event import Json
from services.match.filters import Checked, check, load
from services.match.filters.loading import Duplicates


def corpus(shared: Path, name: str) -> Any:  # noqa: ANN401 - JSON
    return json.loads((shared / "filters" / name).read_bytes())


def checked(rule: str | Json) -> Checked:
    """Return what there is to say of a rule, without a schema of events."""
    tree = load(rule.encode()) if isinstance(rule, str) else rule
    return check(tree, types=[], geofences=None, schema=False)


def has_duplicates(tree: object) -> bool:
    if isinstance(tree, dict):
        return isinstance(tree, Duplicates) or any(map(has_duplicates, tree.values()))
    return isinstance(tree, list) and any(map(has_duplicates, tree))


def names(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from tree
    for below in (
        tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    ):
        yield from names(below)
