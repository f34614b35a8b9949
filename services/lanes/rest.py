"""How long one stays detached that comes and goes: 30 s, doubling up to 10 min."""

FIRST_SECONDS = 30.0
MOST_SECONDS = 600.0
CALM_SECONDS = 600.0
"""Attached for so long, the next trouble is the first again."""
WELL_SHARE = 0.95
"""Of the requests of the last 30 s that must have succeeded."""


def hold_seconds(flips: int, *, first: float = FIRST_SECONDS) -> float:
    """Return how long to stay detached after the *flips*-th detaching in a row, from 1."""
    return float(min(first * 2 ** min(max(flips, 1) - 1, 16), MOST_SECONDS))


def flips_after(flips: int, attached_seconds: float) -> int:
    """Return which detaching in a row this is, *flips* being the one before."""
    return flips + 1 if attached_seconds < CALM_SECONDS else 1
