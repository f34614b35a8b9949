"""What a walk over a filter finds: faults and warnings, in document order, none twice."""

from collections.abc import Iterable
from typing import Any

from services.kernel.errors import Fault, escape
from services.match.filters.limits import FAULTS, STRING
from services.match.filters.loading import BadNumber, unstorable

NUMBERS: frozenset[object] = frozenset({int, float})


class Report:
    """Collects faults and warnings while a filter is walked."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.warnings: list[Fault] = []

    def fault(self, code: str, message: str, pointer: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(code, message, pointer))

    def warn(self, code: str, message: str, pointer: str) -> None:
        """Note what is odd, though it can be saved."""
        self.warnings.append(Fault(code, message, pointer))

    def expected(self, what: str, value: object, pointer: str) -> None:
        """Note that *value* is of another kind than *what*; or what the loader marked it with."""
        if isinstance(value, BadNumber):
            self.fault("number", f"{value.text}: {value.problem}", pointer)
        else:
            self.fault("type", f"expected {what}, got {kind(value)}", pointer)

    def over(self, what: str, count: int, most: int, pointer: str) -> bool:
        """Note if *count* is over a limit, and tell whether it is."""
        if count > most:
            self.fault("limit", f"{count} {what}, {most} are allowed", pointer)
        return count > most

    def string(self, value: Any, pointer: str, *, empty: bool = True) -> str | None:  # noqa: ANN401 - JSON
        """Return *value* if it is a string that can be compared with, else note why not."""
        if value.__class__ is not str:
            self.expected("a string", value, pointer)
            return None
        if not value and not empty:
            self.fault("empty", "empty: every string would match", pointer)
            return None
        if self.over("characters", len(value), STRING, pointer):
            return None
        if not value.isascii() or "\0" in value:
            fault = unstorable(value, pointer)
            if fault is not None:
                self.faults.append(fault)
                return None
        text: str = value
        return text

    def number(self, value: Any, pointer: str) -> float | None:  # noqa: ANN401 - JSON
        """Return *value* if it is a number, else note why not. `true` is none."""
        if value.__class__ in NUMBERS:
            number: float = value
            return number
        self.expected("a number", value, pointer)
        return None


def in_document_order(faults: Iterable[Fault], document: object, pointer: str) -> list[Fault]:
    """Return *faults* as their places follow in *document*, none twice, at most as many as told."""
    found = list(dict.fromkeys(faults))
    if len(found) > 1:
        places: dict[str | None, int] = {}
        stack = [(document, pointer)]
        while stack:
            item, place = stack.pop()
            places[place] = len(places)
            if isinstance(item, dict):
                stack += [(below, f"{place}/{escape(key)}") for key, below in item.items()][::-1]
            elif isinstance(item, list):
                stack += [(below, f"{place}/{n}") for n, below in enumerate(item)][::-1]
        found.sort(key=lambda fault: places.get(fault.pointer, -1))
    return found[:FAULTS]


def kind(value: object) -> str:
    """Return what JSON calls *value*."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", BadNumber: "number"}
    return names.get(type(value), "array" if isinstance(value, list) else "object")
