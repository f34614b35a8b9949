"""Is it them, or us? Our own outage is when nobody at all can be reached.

HTTP statuses never count: whoever answers was reached. One connection that succeeds ends it.
"""

SECONDS = 10.0
HOSTS = 10


class Outage:
    """Looks at connections alone. Monotonic seconds."""

    def __init__(self, *, now: float, seconds: float = SECONDS, hosts: int = HOSTS) -> None:
        self._seconds = seconds
        self._hosts = hosts
        self._reached_at = now
        self._first_failed_at: float | None = None
        self._failed: dict[str, float] = {}

    def reached(self, now: float) -> None:
        """Note that a connection was made."""
        self._reached_at = now
        if self._failed:
            self._failed.clear()
            self._first_failed_at = None

    def failed(self, host: str, now: float) -> None:
        """Note that *host* could not be connected to."""
        if self._first_failed_at is None:
            self._first_failed_at = now
        if host in self._failed or len(self._failed) < self._hosts:
            self._failed[host] = now

    def is_ours(self, now: float) -> bool:
        """Tell whether nobody was reached for so long, though so many were tried."""
        return (
            self._first_failed_at is not None
            and len(self._failed) >= self._hosts
            and now - self._first_failed_at >= self._seconds
        )
