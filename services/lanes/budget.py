"""How much of the loop scanners may take: a quarter beside live traffic, all where nobody wants it."""

SHARE = 0.25
SLICE_SECONDS = 0.005
"""A scanner gives way after so long."""
LAG_SECONDS = 0.02
"""When the loop comes back later than this, others have more than enough to do."""
REST_SECONDS = 0.05
MOST_SECONDS = 0.1
"""A slice that seems longer was interrupted, by the machine or by a signal: that is no cost of it."""
IDLE_SECONDS = 0.0002
"""A pass of the loop that was over so soon: nobody else had anything to do."""


class Share:
    """When the next slice may begin: one account for all scanners of a worker. Monotonic seconds.

    While there is live traffic a slice is followed by three times as long without one, whether others
    fill it or not. That the loop has nothing to do just after a slice tells nothing then: receivers
    that were answered late have their next requests only now, and those have yet to be answered.
    """

    def __init__(self, share: float = SHARE) -> None:
        self._others_per_own = (1 - share) / share
        self._free_at = 0.0

    def took(self, seconds: float, *, now: float) -> None:
        """Note a slice that is just over."""
        cost = min(seconds, MOST_SECONDS) * self._others_per_own
        self._free_at = max(self._free_at, now) + cost

    def came_back(self, *, late: float, now: float, live: bool) -> float | None:
        """Note that the loop came back *late* seconds after it was to.

        Return None where the next slice may begin; else how long to wait before asking again, 0 for
        just another pass.
        """
        if late > LAG_SECONDS:
            self._free_at = max(self._free_at, now + REST_SECONDS)
            return REST_SECONDS
        if late < IDLE_SECONDS and not live:
            self._free_at = now  # nobody wanted it
        left = self._free_at - now
        if left <= 0:
            return None
        return left if live else 0.0
