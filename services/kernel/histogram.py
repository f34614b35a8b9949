"""Durations in few bytes, mergeable: how often each of a row of buckets was hit.

A bucket is a tenth wider than the one before, so a quantile is right to 5 %, from 10 µs to months.
Only buckets that were hit are kept: a minute of one subscription has a handful.
"""

import math
from array import array
from collections.abc import Mapping, Sequence

GROWTH = math.log(1.1)
LEAST_MS = 0.01
TOP = 350
"""Beyond the last bucket nothing is told apart: about 100 days."""


def bucket(ms: float) -> int:
    """Return the bucket of a duration."""
    if ms <= LEAST_MS:
        return 0
    return min(TOP, 1 + int(math.log(ms / LEAST_MS) / GROWTH))


def count(counts: dict[int, int], ms: float) -> None:
    """Count one duration."""
    number = bucket(ms)
    counts[number] = counts.get(number, 0) + 1


def merge(counts: dict[int, int], others: Mapping[int, int]) -> None:
    """Take in what was counted elsewhere."""
    for number, more in others.items():
        counts[number] = counts.get(number, 0) + more


def quantiles(counts: Mapping[int, int], parts: Sequence[float]) -> Sequence[float | None]:
    """Return the durations in ms below which *parts* of all lie, ascending; None where there are none."""
    if not counts:
        return [None] * len(parts)
    total = sum(counts.values())
    buckets = iter(sorted(counts.items()))
    number, seen = next(buckets)
    found = []
    for part in parts:
        rank = math.ceil(part * total)
        while seen < rank:
            number, more = next(buckets)
            seen += more
        found.append(LEAST_MS * math.exp((number - 0.5) * GROWTH) if number else LEAST_MS)
    return found


def packed(counts: Mapping[int, int]) -> bytes:
    """Return the histogram as pairs of numbers, 4 bytes each."""
    flat = array("I")
    for number in sorted(counts):
        flat.append(number)
        flat.append(counts[number])
    return flat.tobytes()


def unpacked(*packs: bytes) -> dict[int, int]:
    """Return what `packed` made bytes of; several added up, thousands where a month is asked for."""
    flat = array("I")
    flat.frombytes(b"".join(packs))
    counts: dict[int, int] = {}
    get = counts.get
    for number, more in zip(flat[::2], flat[1::2], strict=True):
        counts[number] = get(number, 0) + more
    return counts
