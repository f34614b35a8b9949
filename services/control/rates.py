"""How many requests a key may make: a runaway script slows itself alone. A token bucket for each."""

import math
from collections import OrderedDict
from collections.abc import Callable

from services.kernel.errors import WebhooksError

MAX_KEYS = 10_000
BURST_SECONDS = 2.0


class TooManyRequestsError(WebhooksError):
    """A key makes requests faster than it may; `retry_after` is in whole seconds."""

    def __init__(self, per_second: float, retry_after: int) -> None:
        super().__init__(f"this key may make {per_second:g} requests a second; wait a little")
        self.retry_after = retry_after


class Rates:
    """One bucket per key, full after two idle seconds; of this process alone."""

    def __init__(self, *, per_second: float, monotonic: Callable[[], float]) -> None:
        self._per_second = per_second
        self._size = max(1.0, per_second * BURST_SECONDS)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key_id: str) -> None:
        """Count one request of a key. Raises TooManyRequestsError, and counts nothing then."""
        now = self._monotonic()
        left, at = self._buckets.pop(key_id, (self._size, now))
        left = min(self._size, left + (now - at) * self._per_second)
        allowed = left >= 1.0
        self._buckets[key_id] = (left - 1.0 if allowed else left, now)
        if len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)  # idle for longest: full again, or nearly
        if not allowed:
            retry_after = math.ceil((1.0 - left) / self._per_second)
            raise TooManyRequestsError(self._per_second, max(1, retry_after))
