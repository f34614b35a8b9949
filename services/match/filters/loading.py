"""The one strict loader: what JSON lets pass and we don't leaves a mark where it stands.

`json.loads` reads duplicate keys, NaN and integers of any size without a word. Its hooks see them,
but not where they are; so they leave marks in the tree, and whoever walks it can say where.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from services.kernel.errors import Fault, WebhooksError, escape
from services.kernel.event import MAX_DEPTH

MAX_DIGITS = 20
"""Of an integer up to 2^64 - 1; longer ones aren't even converted."""
LEAST, MOST = -(2**63), 2**64 - 1
"""Integers outside become floats when orjson reads them in an event."""

_TOKEN = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


class NotJsonError(WebhooksError):
    """What was sent is not JSON."""

    def __init__(self, problem: str, *, line: int, column: int) -> None:
        super().__init__(f"not JSON: {problem}, in line {line}, column {column}")
        self.problem = problem
        self.line = line
        self.column = column


class Duplicates(dict[str, Any]):
    """An object in which a key stood twice; the last value is kept."""

    keys_twice: Sequence[str] = ()


class BadNumber:
    """A number that no event can hold."""

    __slots__ = ("problem", "text")

    def __init__(self, text: str, problem: str) -> None:
        self.text = text if len(text) <= MAX_DIGITS + 4 else f"{text[:MAX_DIGITS]}…"
        self.problem = problem

    def __repr__(self) -> str:
        return self.text


def load(raw: bytes) -> Any:  # noqa: ANN401 - JSON, with marks
    """Return what *raw* says, with marks. Raises NotJsonError, with line and column."""
    _count_nesting(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line, column = _place(raw[: error.start].decode(), error.start)
        raise NotJsonError("not UTF-8", line=line, column=column) from error
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg, line=error.lineno, column=error.colno) from error


def mark(value: object, pointer: str) -> Fault | None:
    """Return what the loader, or a lenient one before us, let pass at *pointer* itself."""
    if isinstance(value, BadNumber):
        return Fault("number", f"{value.text}: {value.problem}", pointer)
    if isinstance(value, str):
        return unstorable(value, pointer)
    if value.__class__ is float and (value != value or abs(value) == float("inf")):  # noqa: PLR0124 - NaN
        return Fault("number", f"{value}: not a number of JSON", pointer)
    if value.__class__ is int and not LEAST <= value <= MOST:
        return Fault("number", "an integer outside of -2^63 to 2^64-1", pointer)
    return None


def unstorable(text: str, pointer: str, *, what: str = "the string") -> Fault | None:
    """Return the fault of a string or key that Postgres can't keep."""
    for char in text:
        if char == "\0" or "\ud800" <= char <= "\udfff":
            message = f"{what} has U+{ord(char):04X} in it, which can't be stored: leave it out"
            return Fault("text", message, pointer)
    return None


def key_faults(value: dict[str, Any], pointer: str) -> Iterator[Fault]:
    """Yield what is wrong with the keys of an object, whatever they mean."""
    if isinstance(value, Duplicates):
        for key in value.keys_twice:
            message = f"{key!r} stands in this object twice: only one of them could count"
            yield Fault("duplicate_key", message, f"{pointer}/{escape(key)}")
    for key in value:
        fault = None if key.isascii() and "\0" not in key else unstorable(key, "", what="the key")
        if fault is not None:
            yield fault._replace(pointer=f"{pointer}/{escape(key)}")


def marks(value: object, pointer: str = "") -> list[Fault]:
    """Return all marks at and below *pointer*, in document order: for what no parser of ours walks.

    Each is a fault with a code of its own (`duplicate_key`, `number`, `text`).
    """
    found: list[Fault] = []
    stack = [(value, pointer)]
    while stack:
        item, place = stack.pop()
        fault = mark(item, place)
        if fault is not None:
            found.append(fault)
        elif isinstance(item, dict):
            found += key_faults(item, place)
            stack += [(below, f"{place}/{escape(key)}") for key, below in reversed(item.items())]
        elif isinstance(item, list):
            stack += [(below, f"{place}/{n}") for n, below in reversed([*enumerate(item)])]
    return found


def _count_nesting(raw: bytes) -> None:
    # Counting brackets takes a microsecond, and most texts have fewer than may be nested.
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth, in_string = 0, False
    for token in _TOKEN.finditer(raw):
        sign = token[0]
        if sign == b'"':
            in_string = not in_string
        elif in_string or sign[0] == ord("\\"):
            continue
        elif sign in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                before = raw[: token.start()]
                line, column = _place(before.decode("utf-8", "replace"), len(before))
                problem = f"nested over {MAX_DEPTH} levels"
                raise NotJsonError(problem, line=line, column=column)
        else:
            depth -= 1


def _place(before: str, _: int) -> tuple[int, int]:
    """Return line and column of what follows *before*, both from 1."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    marked = Duplicates(found)
    marked.keys_twice = tuple(dict.fromkeys(twice))
    return marked


def _constant(text: str) -> BadNumber:
    return BadNumber(text, "JSON has no such number")


def _float(text: str) -> float | BadNumber:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        return BadNumber(text, "too great for a 64-bit float")
    if number == 0 and text.lower().partition("e")[0].strip("-0."):
        return BadNumber(text, "too near to 0 for a 64-bit float")
    return number


def _int(text: str) -> int | BadNumber:
    if len(text) <= MAX_DIGITS and LEAST <= (number := int(text)) <= MOST:
        return number
    return BadNumber(text, "an integer outside of -2^63 to 2^64-1")
