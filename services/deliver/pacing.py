"""How many requests at once, and how many a second: from what a receiver's answers tell. Pure.

Additive increase, multiplicative decrease. A limit starts at 4 and grows by one with each round,
which is as many successes as the limit, while they take less than twice the usual time. A time-out,
429 or 503 cuts it to 0.7, once per round trip: a request that was sent before the last cut tells
nothing new.

Below what has worked before, and at the very start, a limit doubles with each round instead. Without
that a receiver with 200 ms and room for 100 would have its rate back 20 s after an outage, and each
start of a worker would be one.
"""

import math

START = 4
CUT = 0.7
PATIENCE = 2.0
"""Answers that take this many times the usual say that there is no room for more."""
RETURN = 0.9
"""After an outage the limit doubles up to this share of what it was, and then feels its way."""
FALL = 1 / 8
RISE_SECONDS = 30.0
"""What is usual follows slower answers over this time, so that a queue at the receiver isn't usual."""
SLICE_SECONDS = 0.25
"""Of a rate that may be used at once: what the tick of the outboxes is late can be made up for."""


class Pace:
    """The limit of one subscription."""

    __slots__ = (
        "_ceiling", "_count", "_cut_at", "_fast_below", "_round_at", "_seconds", "_usual", "_well",
        "doubled_at", "limit",
    )  # fmt: skip

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self.limit = min(START, ceiling)
        """Requests at once; at least 1."""
        self.doubled_at = -math.inf
        """When it last doubled, monotonic."""
        self._fast_below = ceiling
        self._well = self.limit
        self._usual = 0.0
        self._cut_at = 0.0
        self._round_at = 0.0
        self._count = 0
        self._seconds = 0.0

    @property
    def ceiling(self) -> int:
        """What the limit never exceeds."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: int) -> None:
        if self._fast_below >= self._ceiling:  # it has never been too much
            self._fast_below = ceiling
        self._ceiling = ceiling
        self.limit = min(self.limit, ceiling)

    def succeeded(self, seconds: float, now: float) -> None:
        """Take in a success that took *seconds*."""
        self._count += 1
        self._seconds += seconds
        if self._count >= self.limit:
            self._end_round(now)

    def slowed(self, *, began: float, now: float) -> None:
        """Take in a time-out, 429 or 503 of a request that *began* then."""
        if began < self._cut_at:
            return
        self._cut_at = now
        self.limit = self._fast_below = max(1, int(self.limit * CUT))
        self._count, self._seconds = 0, 0.0

    def restart(self) -> None:
        """Begin with a single request: the receiver was gone."""
        self._fast_below = max(START, int(self._well * RETURN))
        self.limit = 1
        self._count, self._seconds = 0, 0.0

    def _end_round(self, now: float) -> None:
        mean = self._seconds / self._count
        if self._usual == 0.0:
            self._usual = mean
        elif mean < self._usual:
            self._usual += (mean - self._usual) * FALL
        else:
            self._usual += (mean - self._usual) * min(1.0, (now - self._round_at) / RISE_SECONDS)
        self._round_at = now
        self._count, self._seconds = 0, 0.0
        if mean < PATIENCE * self._usual:
            self._grow(now)

    def _grow(self, now: float) -> None:
        before = self.limit
        if before < self._fast_below:
            grown = min(before * 2, self._fast_below)
            self.doubled_at = now
        else:
            grown = before + 1
            self._well = 0  # no higher than here any more
        self.limit = min(grown, self._ceiling)
        self._well = max(self._well, self.limit)

    def __repr__(self) -> str:
        return f"<Pace {self.limit} of {self._ceiling}, {self._usual * 1000:.1f} ms>"


class RateLimit:
    """A token bucket: requests per second, a share of what the subscription declared."""

    __slots__ = ("_at", "_tokens", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        """Requests per second; 0 lets nothing out."""
        self._tokens = 1.0
        self._at = now

    def take(self, now: float) -> float:
        """Take what one request needs; return from when on there is enough for the next."""
        self._fill(now)
        self._tokens -= 1
        return self._enough_at(now)

    def change(self, rate: float, now: float) -> float:
        """Go on at *rate*; return from when on there is enough for a request."""
        self._fill(now)
        self.rate = rate
        return self._enough_at(now)

    def _fill(self, now: float) -> None:
        most = 1 + self.rate * SLICE_SECONDS
        self._tokens = min(most, self._tokens + (now - self._at) * self.rate)
        self._at = now

    def _enough_at(self, now: float) -> float:
        if self._tokens >= 1:
            return now
        return now + (1 - self._tokens) / self.rate if self.rate > 0 else float("inf")

    def __repr__(self) -> str:
        return f"<RateLimit {self.rate:g}/s>"
