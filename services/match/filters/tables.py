"""What many filters say about one field: one look-up gives the rows that a value satisfies.

Row r is bit r of an int.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from services.match.filters.holds import MISSING, Test, scalar_test, scalars
from services.match.filters.lookups import Exact, Intervals, affixes, are_few, mask
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

SLICE = 400
"""Leaves, or values, that one step of a build takes in."""
CACHED_CHARACTERS = 128
CACHE_BYTES = 1 << 21
"""Of one table and kind, at most."""
CACHE_BYTES_PER_ROW = 512
ENTRY_BYTES = 160
"""Of a key and its slot, about."""

Reader = Callable[[str], int]


class Table:
    """The leaves at one path, of all rows. *every* has the bit of each row."""

    @classmethod
    def building(cls, leaves: Mapping[int, Leaf], every: int) -> "Generator[None, None, Table]":
        """Build it in steps of a few milliseconds."""
        said = _Said()
        for n, (row, leaf) in enumerate(leaves.items(), start=1):
            said.add(row, leaf.matchers)
            if n % SLICE == 0:
                yield
        table = cls(said, leaves, every)
        yield
        yield from table._know_beforehand()
        return table

    def __init__(self, said: "_Said", leaves: Mapping[int, Leaf], every: int) -> None:
        rows = every.bit_count()
        self.said = mask(leaves)
        """Rows that have a leaf here."""
        free = every & ~self.said
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
        self._of_prefix = said.of_prefix(self._text_base)
        self.strings: dict[str, int] = {}
        """Masks of strings that are known; of others *default*, or where that is None `string`."""
        self.default: int | None = None
        self.numbers: dict[float, int] = {}
        """Masks of numbers that are known; of others `number`. Never asked for a boolean."""
        room = min(CACHE_BYTES, CACHE_BYTES_PER_ROW * (rows + 128))
        self._keep = room // (rows // 8 + ENTRY_BYTES)

    def sat(self, value: Any) -> int:  # noqa: ANN401 - JSON
        """Return the rows that *value* satisfies."""
        kind = value.__class__
        if kind is float or kind is int:
            return self.number(value)
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
            found |= self.string(value) if value.__class__ is str else self.sat(value)
        return found if has_scalars else self.missing

    def string(self, text: str) -> int:
        """Return the rows that a string satisfies."""
        found = self.strings.get(text, self.default)
        return found if found is not None else self.unknown(text)

    @property
    def reader(self) -> Reader:
        """What gives the rows that a string satisfies that `strings` doesn't know."""
        return self.unknown if self._of_prefix is None else self._of_prefix

    def unknown(self, text: str) -> int:
        """Return the rows that a string satisfies that `strings` doesn't know."""
        if self._of_prefix is not None:  # found as fast as it would be remembered
            return self._of_prefix(text)
        found = self._work_out(text)
        if self._readers and len(text) <= CACHED_CHARACTERS:
            if len(self.strings) >= self._keep:
                self.strings.clear()
            self.strings[text] = found
        return found

    def number(self, number: float) -> int:
        """Return the rows that a number satisfies."""
        found = self.numbers.get(number)
        if found is None:
            found = self._number(number)
            if len(self.numbers) >= self._keep:
                self.numbers.clear()
            self.numbers[number] = found
        return found

    def _number(self, number: float) -> int:
        found = self._intervals.get(number)
        if self._numbers is not None:
            found |= self._numbers.get(number)
        for holds, bits in self._number_tests:
            if holds(number):
                found |= bits
        return found if self._but_numbers is None else found & ~self._but_numbers.get(number)

    def _know_beforehand(self) -> Iterator[None]:
        if self._readers:
            return
        few = self._texts.few.keys() | self._but_texts.few.keys()
        for n, text in enumerate({*self._texts.masks, *self._but_texts.masks} - few, start=1):
            self.strings[text] = self._work_out(text)
            if n % SLICE == 0:
                yield
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

    def of_prefix(self, base: int) -> Reader | None:
        """Return what gives the rows of a string, where prefixes of a few lengths are all there is."""
        slow = self.suffixes or self.folded or self.tests or self.others
        if slow or self.texts or self.but_texts or not are_few(self.prefixes):
            return None
        return affixes(self.prefixes, base) if self.prefixes else None

    def readers(self) -> list[Reader]:
        """Return what a string has to be tried with, beside a look-up of itself."""
        found: list[Reader] = []
        if self.prefixes:
            found.append(affixes(self.prefixes))
        if self.suffixes:
            found.append(_backwards(self.suffixes))
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


def _backwards(named: Mapping[str, int]) -> Reader:
    read, longest = affixes(named), max(map(len, named))
    return lambda text: read(text[-longest:][::-1])


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
