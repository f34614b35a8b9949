"""What was typed, and what is wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.kernel.errors import Fault


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


def lines(text: str) -> list[str]:
    """Return what was typed a line each, or with commas between."""
    return [part for part in text.replace(",", " ").split() if part]


def _is_at(fault: Fault, place: str) -> bool:
    if fault.pointer is None:
        return fault.parameter == place
    return fault.pointer == place or fault.pointer.startswith(place + "/")
