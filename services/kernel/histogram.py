"""Durations in few bytes, mergeable: how often each of a row of buckets was hit.

A bucket is a tenth wider than the one before, so a quantile is right to 5 %, from 10 µs to months.
Only buckets that were hit are kept: a minute of one subscription has a handful.
"""

import math
from array import array
from collections.abc import Mapping

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


def quantile(counts: Mapping[int, int], part: float) -> float | None:
    """Return the duration in ms below which *part* of all lie; None where there are none."""
    total = sum(counts.values())
    rank = math.ceil(part * total)
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return LEAST_MS * math.exp((number - 0.5) * GROWTH) if number else LEAST_MS
    return None


def packed(counts: Mapping[int, int]) -> bytes:
    """Return the histogram as pairs of numbers, 4 bytes each."""
    flat = array("I")
    for number in sorted(counts):
        flat.append(number)
        flat.append(counts[number])
    return flat.tobytes()


def unpacked(data: bytes) -> dict[int, int]:
    """Return what `packed` made bytes of."""
    flat = array("I")
    flat.frombytes(data)
    return dict(zip(flat[::2], flat[1::2], strict=True))
