"""How old the oldest open record of a partition is. Pure."""

from collections import deque
from collections.abc import Sequence

from services.kernel.event import Record


class Ages:
    """Remembers the time of the first record of each poll: one entry a poll, not one a record.

    Entries below what is open are forgotten, so there are never more than the window has offsets.
    """

    def __init__(self) -> None:
        self._polls: deque[tuple[int, int]] = deque()

    def note(self, records: Sequence[Record]) -> None:
        """Take in what a poll brought, in the order of the log."""
        if records:
            self._polls.append((records[0].position.offset, records[0].timestamp_ms))

    def oldest_ms(self, lowest: int) -> int | None:
        """Return the time, Unix milliseconds, of the poll that brought offset *lowest*."""
        polls = self._polls
        while len(polls) > 1 and polls[1][0] <= lowest:
            polls.popleft()
        return polls[0][1] if polls else None
