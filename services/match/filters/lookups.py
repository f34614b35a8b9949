"""From a value to the rows that say something of it: exact values, affixes, ranges.

A mask is as long as its highest bit, so that a value that few rows name keeps their numbers where
there are many rows or values, and the bits are set on look-up.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from services.match.filters.tree import Range

DENSE_ROWS = 2_000
DENSE_BYTES = 1 << 20
FEW = 4
"""Rows that are kept by number; lengths of affixes that are looked up one by one."""

MANY_BITS = 64

Key = TypeVar("Key", str, float)


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

    def __init__(self, named: Mapping[str, int], base: int) -> None:
        self._base = base
        self._texts = sorted(named)
        self._parents: list[int] = []
        self._masks: list[int] = []
        stack: list[int] = []
        for n, text in enumerate(self._texts):
            while stack and not text.startswith(self._texts[stack[-1]]):
                stack.pop()
            parent = stack[-1] if stack else -1
            self._parents.append(parent)
            self._masks.append(named[text] | (self._masks[parent] if stack else base))
            stack.append(n)

    def get(self, value: str) -> int:
        """Return the rows of all that *value* begins with."""
        n = bisect_right(self._texts, value) - 1
        # What fits is at the place where the value would stand, or begins what stands there.
        while n >= 0:
            if value.startswith(self._texts[n]):
                return self._masks[n]
            n = self._parents[n]
        return self._base


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


def mask(rows: Iterable[int]) -> int:
    """Return the int with the bits of *rows*."""
    listed = list(rows)
    if len(listed) <= MANY_BITS:
        found = 0
        for row in listed:
            found |= 1 << row
        return found
    # Each step above copies all of it: 10,000 bits would take 3 ms.
    octets = bytearray((max(listed) >> 3) + 1)
    for row in listed:
        octets[row >> 3] |= 1 << (row & 7)
    return int.from_bytes(octets, "little")


def affixes(named: Mapping[str, int], base: int = 0) -> Callable[[str], int]:
    """Return what gives the rows of all that a string begins with, and those of *base*."""
    if not are_few(named):
        return Affixes(named, base).get
    of_length: dict[int, dict[str, int]] = defaultdict(dict)
    for text, bits in named.items():
        of_length[len(text)][text] = bits | base
    if len(of_length) == 1:
        ((length, masks),) = of_length.items()
        return lambda text: masks.get(text[:length], base)
    by_length = list(of_length.items())

    def get(text: str) -> int:
        found = base
        for length, masks in by_length:
            found |= masks.get(text[:length], 0)
        return found

    return get


def are_few(named: Iterable[str]) -> bool:
    """Tell whether affixes have so few lengths that a look-up for each is the fastest."""
    return len({len(text) for text in named}) <= FEW
