"""Where in a file the value of a JSON pointer stands, as editors count: line and column from 1."""

import re
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # typeshed lacks it
from typing import NamedTuple

from services.kernel.errors import escape

_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"[^\s,\]}]+")


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


def places(text: str) -> Mapping[str, Place]:
    """Return the place of each value of *text*, which is JSON; of a key that stands twice, the last."""
    found: dict[str, int] = {}
    _value(text, _skip(text, 0), "", found)
    return {pointer: _place(text, at) for pointer, at in found.items()}


def nearest(known: Mapping[str, Place], pointer: str) -> Place:
    """Return the place of *pointer*, else that of what it should be in."""
    while pointer not in known:
        pointer = pointer.rpartition("/")[0]
    return known[pointer]


def _value(text: str, at: int, pointer: str, found: dict[str, int]) -> int:
    """Note the value that begins at *at*, and return where it ends."""
    found[pointer] = at
    if text[at] == '"':
        return int(scanstring(text, at + 1, False)[1])  # noqa: FBT003 - the library's
    if text[at] == "{":
        return _inside(text, at, pointer, found, "}")
    if text[at] == "[":
        return _inside(text, at, pointer, found, "]")
    scalar = _SCALAR.match(text, at)
    return scalar.end() if scalar else at + 1


def _inside(text: str, at: int, pointer: str, found: dict[str, int], end: str) -> int:
    at, count = _skip(text, at + 1), 0
    while text[at] != end:
        step = str(count)
        if end == "}":
            step, at = scanstring(text, at + 1, False)  # noqa: FBT003 - the library's
            at = _skip(text, _skip(text, at) + 1)
        at = _skip(text, _value(text, at, f"{pointer}/{escape(step)}", found))
        if text[at] == ",":
            at = _skip(text, at + 1)
        count += 1
    return at + 1


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _place(text: str, at: int) -> Place:
    return Place(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
