"""What the last answers of a receiver tell: how long they take, how many are successes. Pure."""

from array import array
from statistics import median_low

KEPT = 15
ENOUGH = 5
"""With fewer answers there is no median."""
SLICE_SECONDS, SLICES = 5.0, 6
"""Successes are counted over the last 30 s, in slices."""


class Answers:
    """Of one subscription: 15 times and 12 counts."""

    __slots__ = ("_failed", "_ok", "_past", "_seconds", "_slice", "_total")

    def __init__(self) -> None:
        self._seconds = array("f")
        self._total = 0
        self._slice = 0
        self._ok = 0
        self._failed = 0
        self._past: tuple[tuple[int, int, int], ...] = ()  # slice, successes, failures

    def add(self, *, ok: bool, seconds: float, now: float) -> None:
        """Take in an answer, or the failure that came instead."""
        if now >= (self._slice + 1) * SLICE_SECONDS:
            self._turn(now)
        if ok:
            self._ok += 1
        else:
            self._failed += 1
        if self._total < KEPT:
            self._seconds.append(seconds)
        else:
            self._seconds[self._total % KEPT] = seconds
        self._total += 1

    @property
    def median(self) -> float | None:
        """The median of the last answers; None where there are too few."""
        return median_low(self._seconds) if self._total >= ENOUGH else None

    def success_share(self, now: float) -> float | None:
        """Return the share of successes over the last 30 s; None if no request ended."""
        oldest = int(now // SLICE_SECONDS) - SLICES
        slices = [s for s in (*self._past, (self._slice, self._ok, self._failed)) if s[0] > oldest]
        ok = sum(slice_[1] for slice_ in slices)
        failed = sum(slice_[2] for slice_ in slices)
        return ok / (ok + failed) if ok + failed else None

    def _turn(self, now: float) -> None:
        self._past = (*self._past, (self._slice, self._ok, self._failed))[-SLICES + 1 :]
        self._slice = int(now // SLICE_SECONDS)
        self._ok = self._failed = 0
