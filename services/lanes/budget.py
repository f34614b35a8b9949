"""How much of the loop scanners may take: a quarter where others want it, all where nobody does."""

SHARE = 0.25
SLICE_SECONDS = 0.005
"""A scanner gives way after so long."""
LAG_SECONDS = 0.02
"""When the loop comes back later than this, others have more than enough to do."""
REST_SECONDS = 0.05
IDLE_SECONDS = 0.0002
"""A pass of the loop that was over so soon: nobody else had anything to do."""


class Share:
    """Keeps account of one scanner's slices, and of what others did between them. Seconds."""

    def __init__(self, share: float = SHARE) -> None:
        self._others_per_own = (1 - share) / share
        self._owes = 0.0

    def took(self, seconds: float) -> None:
        """Note a slice."""
        self._owes += seconds * self._others_per_own

    def passed(self, seconds: float) -> float | None:
        """Note that the loop came back after *seconds*.

        Return None where the next slice may begin; else how long to wait before asking again, 0 for
        just another pass.
        """
        if seconds < IDLE_SECONDS:
            self._owes = 0.0  # nobody wanted it
            return None
        self._owes = max(0.0, self._owes - seconds)
        if seconds > LAG_SECONDS:
            return REST_SECONDS
        return 0.0 if self._owes > 0 else None
