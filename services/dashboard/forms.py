"""What was typed, and what is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.kernel.errors import Fault

_TYPED = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?")


class Form(NamedTuple):
    """A form as it is shown: empty at first, then with what was typed and the API's own faults."""

    values: Mapping[str, str] = {}
    faults: Sequence[Fault] = ()

    def value(self, name: str, default: object = "") -> str:
        """Return what was typed into a field; *default* before anything was."""
        found = self.values.get(name)
        return ("" if default is None else str(default)) if found is None else found

    def of(self, place: str) -> list[str]:
        """Return what is wrong at a pointer, or below it; or with a parameter of that name."""
        return [fault.message for fault in self.faults if _is_at(fault, place)]

    def elsewhere(self, places: Iterable[str]) -> list[str]:
        """Return what is wrong where none of the fields is: shown above them."""
        among = list(places)
        return [
            fault.message
            for fault in self.faults
            if not any(_is_at(fault, place) for place in among)
        ]


def number(text: str) -> object:
    """Return a number where one was typed, None where nothing was; else the text, for the API to say."""
    typed = text.strip()
    if not typed:
        return None
    try:
        found = float(typed)
    except ValueError:
        return typed
    return int(found) if found.is_integer() else found


def moment(text: str) -> str:
    """Return a time as the API reads it, where a day or a minute was typed, in UTC; else the text."""
    found = _TYPED.fullmatch(text.strip())
    if found is None:
        return text
    day, clock, seconds = found.groups()
    return f"{day}T{clock or '00:00'}{seconds or ':00'}Z"


def moments(typed: Mapping[str, str], names: Iterable[str] = ("from", "to")) -> dict[str, str]:
    """Return what was typed, with the times among it as the API reads them."""
    return {name: moment(text) if name in names else text for name, text in typed.items()}


def lines(text: str) -> list[str]:
    """Return what was typed a line each, or with commas between."""
    return [part for part in text.replace(",", " ").split() if part]


def _is_at(fault: Fault, place: str) -> bool:
    if fault.pointer is None:
        return fault.parameter == place
    return fault.pointer == place or fault.pointer.startswith(place + "/")
