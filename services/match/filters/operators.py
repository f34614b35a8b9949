"""The elements of a leaf: a literal, or an object with one operator."""

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any

from services.kernel.errors import escape
from services.match.filters import areas
from services.match.filters.limits import STARS, VALUES, WILDCARDS
from services.match.filters.loading import key_faults, mark
from services.match.filters.report import Report, kind
from services.match.filters.tree import (
    Constant,
    Exists,
    Folded,
    Matcher,
    Number,
    Other,
    Outside,
    Prefix,
    Range,
    StringMatcher,
    Suffix,
    Text,
    Wildcard,
    Within,
)

FOLDED = "equals-ignore-case"
INFINITY = float("inf")
_LOWER, _UPPER = (">", ">="), ("<", "<=")


class Elements:
    """Reads the elements of leaves. What isn't valid is noted in *report* and left out."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._wildcards = 0

    def read(self, value: Any, pointer: str) -> Matcher | None:  # noqa: ANN401 - JSON
        """Return what *value* at *pointer* asks for."""
        match value:
            case str():
                text = self._report.string(value, pointer)
                return None if text is None else Text(text)
            case bool() | None:
                return Constant(value)
            case int() | float():
                fault = mark(value, pointer)
                if fault is None:
                    return Number(value)
                self._report.faults.append(fault)
            case dict():
                return self._operator(value, pointer)
            case _:
                self._report.expected("a string, number, boolean, null or operator", value, pointer)
        return None

    def _operator(self, value: dict[str, Any], pointer: str) -> Matcher | None:
        self._report.faults += key_faults(value, pointer)
        if len(value) != 1:
            names = ", ".join(map(repr, value)) or "none"
            message = f'expected exactly one operator, got {names}: write [{{"prefix": "x"}}, …]'
            self._report.fault("op", message, pointer)
            return None
        ((name, operand),) = value.items()
        read = OPERATORS.get(name)
        if read is None:
            self._report.fault("op", unknown(name), f"{pointer}/{escape(name)}")
            return None
        return read(self, operand, f"{pointer}/{name}")

    def _prefix(self, operand: object, pointer: str) -> Matcher | None:
        found = self._text_or_folded(operand, pointer)
        return None if found is None else Prefix(*found)

    def _suffix(self, operand: object, pointer: str) -> Matcher | None:
        found = self._text_or_folded(operand, pointer)
        return None if found is None else Suffix(*found)

    def _text_or_folded(self, operand: object, pointer: str) -> tuple[str, bool] | None:
        if not isinstance(operand, dict):
            text = self._report.string(operand, pointer, empty=False)
            return None if text is None else (text, False)
        inner = self._only(operand, pointer, among=(FOLDED,))
        if inner is None:
            return None
        text = self._report.string(inner[1], f"{pointer}/{FOLDED}", empty=False)
        return None if text is None else (text, True)

    def _folded(self, operand: object, pointer: str) -> Folded | None:
        text = self._report.string(operand, pointer)
        return None if text is None else Folded(text)

    def _wildcard(self, operand: object, pointer: str) -> Wildcard | None:
        text = self._report.string(operand, pointer)
        if text is None:
            return None
        self._wildcards += 1
        if self._wildcards == WILDCARDS + 1:
            message = f"more than {WILDCARDS} wildcards in one filter, {WILDCARDS} are allowed"
            self._report.fault("limit", message, pointer)
        return self._wildcard_parts(text, pointer)

    def _wildcard_parts(self, text: str, pointer: str) -> Wildcard | None:
        parts, part, n, star_before = [], "", 0, False
        while n < len(text):
            char = text[n]
            if char == "*":
                if star_before:
                    self._report.fault("wildcard", f'consecutive "*" at character {n + 1}', pointer)
                    return None
                parts.append(part)
                part = ""
            elif char == "\\":
                n += 1
                char = text[n : n + 1]
                if char not in ("*", "\\"):
                    message = f"only \\* and \\\\ may be escaped: see character {n}"
                    self._report.fault("wildcard", message, pointer)
                    return None
                part += char
                star_before = False
                n += 1
                continue
            else:
                part += char
            star_before = char == "*"
            n += 1
        if self._report.over('"*" in a wildcard', len(parts), STARS, pointer):
            return None
        return Wildcard((*parts, part))

    def _exists(self, operand: object, pointer: str) -> Exists | None:
        if isinstance(operand, bool):
            return Exists(operand)
        self._report.expected("true or false", operand, pointer)
        return None

    def _numeric(self, operand: object, pointer: str) -> Range | None:
        report = self._report
        if not isinstance(operand, list):
            report.expected('an array such as [">", 5]', operand, pointer)
            return None
        if not operand:
            report.fault("empty", 'empty: write [">", 5] or [">=", 1, "<", 5]', pointer)
            return None
        signs, numbers = operand[0::2], operand[1::2]
        ok = True
        for n, sign in enumerate(signs):
            if sign not in ("=", *_LOWER, *_UPPER):
                message = f"{json.dumps(sign, default=repr)} is not one of = < <= > >="
                report.fault("numeric", message, f"{pointer}/{2 * n}")
                ok = False
        for n, number in enumerate(numbers):
            ok = report.number(number, f"{pointer}/{2 * n + 1}") is not None and ok
        if len(operand) not in (2, 4):
            message = 'write one bound, [">", 5], or two, [">=", 1, "<", 5]'
            report.fault("numeric", message, pointer)
            ok = False
        return self._range(signs, numbers, pointer) if ok else None

    def _range(self, signs: list[str], numbers: list[float], pointer: str) -> Range | None:
        report = self._report
        if len(signs) == 1:
            sign, number = signs[0], numbers[0]
            low = number if sign in ("=", *_LOWER) else -INFINITY
            high = number if sign in ("=", *_UPPER) else INFINITY
            return Range(low, "=" in sign, high, "=" in sign)
        if signs[0] in _UPPER and signs[1] in _LOWER:
            report.fault("numeric", "write the lower bound first", pointer)
            return None
        if signs[0] not in _LOWER or signs[1] not in _UPPER:
            message = f'{signs[0]} and {signs[1]} make no range: write [">=", 1, "<", 5]'
            report.fault("numeric", message, pointer)
            return None
        low, high = numbers
        both = signs == [">=", "<="]
        if low > high or (low == high and not both):
            report.fault("numeric", f"empty range: {low:g} .. {high:g}", pointer)
            return None
        return Range(low, signs[0] == ">=", high, signs[1] == "<=")

    def _anything_but(self, operand: object, pointer: str) -> Other | None:
        if isinstance(operand, dict):
            return self._anything_but_nested(operand, pointer)
        if not isinstance(operand, list):
            return self._anything_but_literals([operand], pointer, one=True)
        if not operand:
            self._report.fault("empty", "empty array: it would exclude nothing", pointer)
            return None
        self._report.over("values", len(operand), VALUES, pointer)
        return self._anything_but_literals(operand, pointer, one=False)

    def _anything_but_literals(self, values: list[Any], pointer: str, *, one: bool) -> Other | None:
        than: list[Text | Number] = []
        for n, value in enumerate(values):
            place = pointer if one else f"{pointer}/{n}"
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                self._report.expected("a string or a number", value, place)
                continue
            element = self.read(value, place)
            if isinstance(element, Text | Number):
                than.append(element)
        if len({kind(element.value) for element in than}) > 1:
            message = "strings and numbers in one list: write one operator for each"
            self._report.fault("type", message, pointer)
            return None
        return Other(tuple(dict.fromkeys(than))) if len(than) == len(values) else None

    def _anything_but_nested(self, operand: dict[str, Any], pointer: str) -> Other | None:
        inner = self._only(operand, pointer, among=tuple(NESTED))
        if inner is None:
            return None
        name, value = inner
        place = f"{pointer}/{name}"
        if not isinstance(value, list):
            found = NESTED[name](self, value, place)
            return None if found is None else Other((found,))
        if not value:
            self._report.fault("empty", "empty array: it would exclude nothing", place)
            return None
        self._report.over("values", len(value), VALUES, place)
        than = [NESTED[name](self, each, f"{place}/{n}") for n, each in enumerate(value)]
        known = [each for each in than if each is not None]
        return Other(tuple(dict.fromkeys(known))) if len(known) == len(than) else None

    def _plain_prefix(self, operand: object, pointer: str) -> Prefix | None:
        text = self._report.string(operand, pointer, empty=False)
        return None if text is None else Prefix(text)

    def _plain_suffix(self, operand: object, pointer: str) -> Suffix | None:
        text = self._report.string(operand, pointer, empty=False)
        return None if text is None else Suffix(text)

    def _only(
        self, operand: dict[str, Any], pointer: str, *, among: tuple[str, ...]
    ) -> tuple[str, Any] | None:
        """Return the one key and value of *operand*."""
        self._report.faults += key_faults(operand, pointer)
        if len(operand) != 1:
            message = f"expected exactly one of {', '.join(among)}, got {len(operand)} keys"
            self._report.fault("op", message, pointer)
            return None
        ((name, value),) = operand.items()
        if name in among:
            return name, value
        message = f"unknown operator {name!r}: one of {', '.join(among)}"
        self._report.fault("op", message, f"{pointer}/{escape(name)}")
        return None

    def _within(self, operand: object, pointer: str) -> Within | None:
        area = areas.inline(operand, pointer, self._report)
        return None if area is None else Within(area)

    def _outside(self, operand: object, pointer: str) -> Outside | None:
        area = areas.inline(operand, pointer, self._report)
        return None if area is None else Outside(area)


OPERATORS: Mapping[str, Callable[[Elements, Any, str], Matcher | None]] = {
    "prefix": Elements._prefix,  # noqa: SLF001 - the table of our own
    "suffix": Elements._suffix,  # noqa: SLF001
    FOLDED: Elements._folded,  # noqa: SLF001
    "wildcard": Elements._wildcard,  # noqa: SLF001
    "numeric": Elements._numeric,  # noqa: SLF001
    "exists": Elements._exists,  # noqa: SLF001
    "anything-but": Elements._anything_but,  # noqa: SLF001
    "geo-within": Elements._within,  # noqa: SLF001
    "geo-outside": Elements._outside,  # noqa: SLF001
}
NESTED: Mapping[str, Callable[[Elements, Any, str], StringMatcher | None]] = {
    "prefix": Elements._plain_prefix,  # noqa: SLF001
    "suffix": Elements._plain_suffix,  # noqa: SLF001
    FOLDED: Elements._folded,  # noqa: SLF001
    "wildcard": Elements._wildcard,  # noqa: SLF001
}


def unknown(name: str) -> str:
    """Say that there is no operator *name*, and which was probably meant."""
    near = difflib.get_close_matches(name, OPERATORS, n=1, cutoff=0.5)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(OPERATORS)}"
    return f"unknown operator {name[:128]!r}: {hint}"
