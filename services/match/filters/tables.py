"""What many filters say about one field: one look-up gives the rows that a value satisfies.

Row r is bit r of an int. A mask is as long as its highest bit, so that a value that few rows name
keeps their numbers where there are many rows or values, and the bits are set on look-up.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from services.match.filters.holds import MISSING, Test, scalar_test, scalars
from services.match.filters.tree import (
    Constant,
    Exists,
    Folded,
    Leaf,
    Matcher,
    Number,
    Other,
    Outside,
    Prefix,
    Range,
    Suffix,
    Text,
    Wildcard,
    Within,
)

DENSE_ROWS = 2_000
DENSE_BYTES = 1 << 20
FEW = 4
"""Rows that are kept by number."""
CACHED_CHARACTERS = 128
CACHE_BYTES = 1 << 21
"""Of one table, at most."""
CACHE_BYTES_PER_ROW = 512
ENTRY_BYTES = 160
"""Of a key and its slot, about."""

Key = TypeVar("Key", str, float)
Reader = Callable[[str], int]


class Exact(Generic[Key]):
    """Rows by a value that they name."""

    def __init__(self, named: Mapping[Key, Iterable[int]], rows: int) -> None:
        dense = rows <= DENSE_ROWS and len(named) * rows // 8 <= DENSE_BYTES
        self.masks: dict[Key, int] = {}
        self.few: dict[Key, tuple[int, ...]] = {}
        for value, numbers in named.items():
            listed = tuple(numbers)
            if dense or len(listed) > FEW:
                self.masks[value] = mask(listed)
            else:
                self.few[value] = listed

    def get(self, value: Key) -> int:
        """Return the rows that name *value*."""
        found = self.masks.get(value)
        if found is None:
            listed = self.few.get(value)
            return 0 if listed is None else mask(listed)
        return found


class Affixes:
    """Rows by what strings begin with: the longest that fits, which knows the shorter ones."""

    def __init__(self, named: Mapping[str, int]) -> None:
        self._texts = sorted(named)
        self._parents: list[int] = []
        self._masks: list[int] = []
        stack: list[int] = []
        for n, text in enumerate(self._texts):
            while stack and not text.startswith(self._texts[stack[-1]]):
                stack.pop()
            parent = stack[-1] if stack else -1
            self._parents.append(parent)
            self._masks.append(named[text] | (self._masks[parent] if stack else 0))
            stack.append(n)
        self.longest = max(map(len, self._texts), default=0)

    def get(self, value: str) -> int:
        """Return the rows of all that *value* begins with."""
        n = bisect_right(self._texts, value) - 1
        # What fits is at the place where the value would stand, or begins what stands there.
        while n >= 0:
            if value.startswith(self._texts[n]):
                return self._masks[n]
            n = self._parents[n]
        return 0


class Intervals:
    """Rows by the range that a number is in: a mask per point and per gap between two."""

    def __init__(self, ranges: Mapping[int, Sequence[Range]], base: int) -> None:
        bounds = {
            bound
            for of_row in ranges.values()
            for each in of_row
            for bound in (each.low, each.high)
            if bound not in (float("-inf"), float("inf"))
        }
        self._points = sorted(bounds)
        toggles: dict[int, int] = defaultdict(int)
        for row, of_row in ranges.items():
            bit = 1 << row
            for first, last in self._merged(of_row):
                toggles[first] ^= bit
                toggles[last + 1] ^= bit
        current, self._masks = 0, []
        for slot in range(2 * len(self._points) + 1):
            current ^= toggles.get(slot, 0)
            self._masks.append(base | current)

    def get(self, number: float) -> int:
        """Return the rows that *number* is in a range of, and those of the base."""
        points = self._points
        n = bisect_left(points, number)
        if n < len(points) and points[n] == number:
            return self._masks[2 * n + 1]
        return self._masks[2 * n]

    def _merged(self, ranges: Sequence[Range]) -> list[tuple[int, int]]:
        """Return first and last slots; merged, or two toggles of one row would cancel out."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(self._slots(each) for each in ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return merged

    def _slots(self, each: Range) -> tuple[int, int]:
        points = self._points
        first, last = 0, 2 * len(points)
        if each.low != float("-inf"):
            first = 2 * bisect_left(points, each.low) + (1 if each.low_included else 2)
        if each.high != float("inf"):
            last = 2 * bisect_left(points, each.high) + (1 if each.high_included else 0)
        return first, last


class Table:
    """The leaves at one path, of all rows. *every* has the bit of each row."""

    def __init__(self, leaves: Mapping[int, Leaf], every: int) -> None:
        said = _Said()
        for row, leaf in leaves.items():
            said.add(row, leaf.matchers)
        self._rows = rows = every.bit_count()
        free = every & ~mask(leaves)
        base = free | said.any_scalar
        self.missing = free | said.if_missing
        self._text_base = self._number_base = others = base
        for matcher, bits in said.others.items():
            others |= bits
            if isinstance(matcher.than[0], Number):
                self._text_base |= bits
            else:
                self._number_base |= bits
        self._constants = {value: others | said.constants[value] for value in (True, False, None)}
        self._number_tests = [
            (scalar_test(matcher), bits)
            for matcher, bits in said.others.items()
            if isinstance(matcher.than[0], Number)
        ]
        self._numbers = Exact(said.numbers, rows) if said.numbers else None
        self._but_numbers = Exact(said.but_numbers, rows) if said.but_numbers else None
        self._intervals = Intervals(said.ranges, self._number_base)
        self._texts = Exact(said.texts, rows)
        self._but_texts = Exact(said.but_texts, rows)
        self._has_texts, self._has_but_texts = bool(said.texts), bool(said.but_texts)
        self._readers = said.readers()
        self.strings: dict[str, int] = {}
        """Masks of strings that are known; of others *default*, or where that is None `string`."""
        self.default: int | None = None
        self._keep = 0
        self._know_beforehand()

    def sat(self, value: Any) -> int:  # noqa: ANN401 - JSON
        """Return the rows that *value* satisfies."""
        kind = value.__class__
        if kind is float or kind is int:
            return self._number(value)
        if kind is str:
            return self.string(value)
        if value is MISSING or kind is dict:
            return self.missing
        if kind is list:
            return self._any_of(value)
        return self._constants[value]

    def _any_of(self, values: list[Any]) -> int:
        found, has_scalars = 0, False
        for value in scalars(values):
            has_scalars = True
            found |= self.sat(value)
        return found if has_scalars else self.missing

    def string(self, text: str) -> int:
        """Return the rows that a string satisfies."""
        found = self.strings.get(text, self.default)
        if found is not None:
            return found
        found = self._work_out(text)
        if self._keep and len(text) <= CACHED_CHARACTERS:
            if len(self.strings) >= self._keep:
                self.strings.clear()
            self.strings[text] = found
        return found

    def _number(self, number: float) -> int:
        found = self._intervals.get(number)
        if self._numbers is not None:
            found |= self._numbers.get(number)
        for holds, bits in self._number_tests:
            if holds(number):
                found |= bits
        return found if self._but_numbers is None else found & ~self._but_numbers.get(number)

    def _know_beforehand(self) -> None:
        if self._readers:
            room = min(CACHE_BYTES, CACHE_BYTES_PER_ROW * (self._rows + 128))
            self._keep = room // (self._rows // 8 + ENTRY_BYTES)
            return
        few = self._texts.few.keys() | self._but_texts.few.keys()
        for text in {*self._texts.masks, *self._but_texts.masks} - few:
            self.strings[text] = self._work_out(text)
        if not few:  # the hot path is one look-up
            self.default = self._text_base

    def _work_out(self, text: str) -> int:
        found = self._text_base
        if self._has_texts:
            found |= self._texts.get(text)
        for read in self._readers:
            found |= read(text)
        return found & ~self._but_texts.get(text) if self._has_but_texts else found


class _Said:
    """What the rows say at one path, sorted by kind."""

    def __init__(self) -> None:
        self.if_missing = 0
        self.any_scalar = 0
        """Rows that any scalar satisfies: `exists`, or a lone `anything-but` of literals."""
        self.but_texts: dict[str, list[int]] = defaultdict(list)
        """The latter, by what doesn't satisfy them."""
        self.but_numbers: dict[float, list[int]] = defaultdict(list)
        self.texts: dict[str, list[int]] = defaultdict(list)
        self.numbers: dict[float, list[int]] = defaultdict(list)
        self.constants: dict[bool | None, int] = defaultdict(int)
        self.ranges: dict[int, list[Range]] = defaultdict(list)
        self.prefixes: dict[str, int] = defaultdict(int)
        self.suffixes: dict[str, int] = defaultdict(int)
        self.folded: dict[str, int] = defaultdict(int)
        self.tests: dict[Prefix | Suffix | Wildcard, int] = defaultdict(int)
        self.others: dict[Other, int] = defaultdict(int)

    def add(self, row: int, matchers: Sequence[Matcher]) -> None:
        """Take in the leaf of a row."""
        bit = 1 << row
        wanted = [each for each in matchers if each.__class__ is not Exists]
        for each in matchers:
            if isinstance(each, Exists):
                if each.expected:
                    self.any_scalar |= bit
                else:
                    self.if_missing |= bit
        if self.any_scalar & bit or (len(wanted) == 1 and self._lone(row, wanted[0])):
            return
        for each in wanted:
            if isinstance(each, Text):  # most are
                self.texts[each.value].append(row)
            else:
                self._one(row, bit, each)

    def _lone(self, row: int, matcher: Matcher) -> bool:
        """Take in a lone matcher if it is `anything-but` of literals."""
        if not isinstance(matcher, Other) or not isinstance(matcher.than[0], Text | Number):
            return False
        self.any_scalar |= 1 << row
        for each in matcher.than:
            if isinstance(each, Text):
                self.but_texts[each.value].append(row)
            elif isinstance(each, Number):
                self.but_numbers[each.value].append(row)
        return True

    def _one(self, row: int, bit: int, matcher: Matcher) -> None:
        match matcher:
            case Number(number):
                self.numbers[number].append(row)
            case Constant(constant):
                self.constants[constant] |= bit
            case Range():
                self.ranges[row].append(matcher)
            case Prefix(text, False):
                self.prefixes[text] |= bit
            case Suffix(text, False):
                self.suffixes[text[::-1]] |= bit
            case Folded(text):
                self.folded[text.casefold()] |= bit
            case Other():
                self.others[matcher] |= bit
            case Prefix() | Suffix() | Wildcard():
                self.tests[matcher] |= bit
            case Text() | Exists() | Within() | Outside():
                pass  # taken in by `add`, and by `Places`

    def readers(self) -> list[Reader]:
        """Return what a string has to be tried with, beside a look-up of itself."""
        found: list[Reader] = []
        if self.prefixes:
            found.append(Affixes(self.prefixes).get)
        if self.suffixes:
            found.append(_backwards(Affixes(self.suffixes)))
        if self.folded:
            found.append(_folding(self.folded))
        tests: list[tuple[Test, int]] = [
            (scalar_test(matcher), bits) for matcher, bits in self.tests.items()
        ]
        tests += [
            (scalar_test(matcher), bits)
            for matcher, bits in self.others.items()
            if not isinstance(matcher.than[0], Number)
        ]
        if tests:
            found.append(_testing(tests))
        return found


def mask(rows: Iterable[int]) -> int:
    """Return the int with the bits of *rows*."""
    found = 0
    for row in rows:
        found |= 1 << row
    return found


def _backwards(affixes: Affixes) -> Reader:
    longest = affixes.longest
    return lambda text: affixes.get(text[-longest:][::-1])


def _folding(folded: Mapping[str, int]) -> Reader:
    # Casefolding makes no string shorter.
    longest = max(map(len, folded))
    return lambda text: folded.get(text.casefold(), 0) if len(text) <= longest else 0


def _testing(tests: Sequence[tuple[Test, int]]) -> Reader:
    def read(text: str) -> int:
        found = 0
        for holds, bits in tests:
            if holds(text):
                found |= bits
        return found

    return read
