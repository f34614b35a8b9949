"""Checking a body: every fault at once, each with its JSON pointer and a sentence."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from services.kernel.errors import Fault, FaultsError, escape
from services.kernel.event import Json

_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z", re.IGNORECASE | re.ASCII
)
"""Python reads more of ISO 8601: weeks, dates without dashes."""


class Checker:
    """Collects the faults of one object; `finish` raises them together."""

    def __init__(
        self, title: str, body: object, *, known: Iterable[str], pointer: str = ""
    ) -> None:
        self.title = title
        self.pointer = pointer
        self.faults: list[Fault] = []
        self.body: Json = {}
        if isinstance(body, dict):
            self.body = body
            self._unknown(list(known))
        else:
            self.fault("", "type", f"expected an object, got {kind(body)}")

    def fault(self, field: str, code: str, message: str) -> None:
        """Note a fault at *field*; empty for the object itself."""
        pointer = f"{self.pointer}/{field}" if field else self.pointer
        self.faults.append(Fault(code, message, pointer))

    def finish(self) -> None:
        """Raise FaultsError if there was any fault."""
        if self.faults:
            raise FaultsError(self.title, self.faults)

    def text(
        self, field: str, *, required: bool = False, longest: int, default: str | None = None
    ) -> str | None:
        """Return a string of at most *longest* characters."""
        value = self._value(field, required=required)
        if value is None:
            return default
        if not isinstance(value, str):
            self._wrong(field, "a string", value)
        elif required and not value.strip():
            self.fault(field, "empty", "must not be empty")
        elif len(value) > longest:
            self.fault(field, "limit", f"{len(value)} characters, {longest} are allowed")
        elif not is_storable(value):
            self.fault(field, "text", "has a character that can't be stored (U+0000, surrogates)")
        else:
            return value
        return default

    def number(self, field: str, *, least: float, most: float, whole: bool = False) -> float | None:
        """Return a number within bounds."""
        value = self._value(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            self._wrong(field, "a whole number" if whole else "a number", value)
        elif not math.isfinite(value) or not least <= value <= most:
            self.fault(
                field, "range", f"must be {_plain(least)} to {_plain(most)}, got {_plain(value)}"
            )
        else:
            return value
        return None

    def choice(self, field: str, among: Sequence[str]) -> str | None:
        """Return one of the strings *among*."""
        value = self._value(field)
        if value is None:
            return None
        if not isinstance(value, str):
            self._wrong(field, "a string", value)
        elif value not in among:
            self.fault(
                field, "choice", f"{value!r} is not one of {', '.join(among)}{near(value, among)}"
            )
        else:
            return value
        return None

    def choices(
        self, field: str, among: Sequence[str], *, default: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return some of the strings *among*, without repeats."""
        value = self._value(field)
        if value is None:
            return default
        if not isinstance(value, list):
            self._wrong(field, "an array", value)
            return default
        for n, item in enumerate(value):
            if not isinstance(item, str) or item not in among:
                hint = near(item, among) if isinstance(item, str) else ""
                message = f"{item!r} is not one of {', '.join(among)}{hint}"
                self.fault(f"{field}/{n}", "choice", message)
        return tuple(dict.fromkeys(item for item in value if isinstance(item, str)))

    def moment(self, field: str) -> datetime | None:
        """Return a time, RFC 3339."""
        value = self._value(field)
        if value is None:
            return None
        found = parse_moment(value)
        if found is None:
            self.fault(field, "time", "write a time as 2026-03-17T09:40:51.000Z")
        return found

    def _value(self, field: str, *, required: bool = False) -> object:
        value = self.body.get(field)
        if value is None and required:
            self.fault(field, "required", f"{field} is required")
        return value

    def _wrong(self, field: str, expected: str, value: object) -> None:
        self.fault(field, "type", f"expected {expected}, got {kind(value)}")

    def _unknown(self, known: list[str]) -> None:
        for field in self.body:
            if field not in known:
                self.fault(
                    escape(field), "unknown_field", f"no field {field!r}{near(field, known)}"
                )


def near(word: str, among: Sequence[str]) -> str:
    """Return `: did you mean …?` where something of *among* is near."""
    found = difflib.get_close_matches(word, among, n=1)
    return f": did you mean {str(found[0])!r}?" if found else ""  # of an enum, its value


def _plain(number: float) -> str:
    """Return a number as people write it: 31536000, and not 3.1536e+07."""
    return f"{number:.0f}" if math.isfinite(number) and number == int(number) else f"{number:g}"


def kind(value: object) -> str:
    """Return what JSON calls *value*."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "an array" if isinstance(value, list) else "an object")


def is_storable(text: str) -> bool:
    """Tell whether Postgres can keep *text*."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def parse_moment(value: object) -> datetime | None:
    """Return a time given as RFC 3339; None where it isn't one."""
    if not isinstance(value, str) or not _RFC3339.match(value):
        return None
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
