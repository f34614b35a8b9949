"""When the next event of a replay may go: a rate, the original rhythm, or at once. Pure."""

import math

LATE_SECONDS = 0.02


class Pace:
    """One partition's share of a replay. Monotonic seconds are passed in."""

    def __init__(self, *, rate: float | None, speed: float | None) -> None:
        self.set_rate(rate)
        self._speed = speed
        self._next = -math.inf
        self._origin: tuple[float, int] | None = None

    def set_rate(self, rate: float | None) -> None:
        """Take another share: other partitions have begun, or are done."""
        self._interval = 1.0 / rate if rate else 0.0

    def wait(self, timestamp_ms: int, now: float) -> float:
        """Return how long the event of that time has to wait; 0: it may go."""
        wait = max(0.0, self._next - now)
        if self._speed is not None:
            if self._origin is None:
                self._origin = now, timestamp_ms
            began, first_ms = self._origin
            wait = max(wait, began + (timestamp_ms - first_ms) / 1000 / self._speed - now)
        return wait

    def sent(self, now: float) -> None:
        """Note that one went: what a late timer cost is made up for, a pause is not."""
        late = LATE_SECONDS if self._interval < LATE_SECONDS else 0.0
        self._next = max(self._next, now - late) + self._interval

    def missed(self) -> None:
        """Begin the rhythm anew at the next event, after the receiver could not be reached."""
        self._origin = None
