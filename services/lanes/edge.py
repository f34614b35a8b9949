"""How near a lane is to the edge of the log, where retention takes what it has not delivered."""

WARNED, ALARMED = 50, 80
"""Percent of the retention that its cursor has used up: its owner is warned, then we are alarmed."""
SHARES = (WARNED, ALARMED)


def used(cursor: int, marks: dict[int, int]) -> int:
    """Return the highest of SHARES that *cursor* has passed, 0 where none.

    *marks* says for each share which offset was the first that is younger than that.
    """
    return max((share for share, offset in marks.items() if cursor < offset), default=0)
