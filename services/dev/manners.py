"""How receivers of the farm behave: what each personality does with a request. Pure.

A personality has manners of its own all the time (`slow`, `stumbling`, `poisoned`) or only in bad times
(`hanging`, `failing`, …); in good times those answer like `fast`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

OK, GONE, TOO_MANY, ERROR = 200, 410, 429, 500


class Asked(NamedTuple):
    """One request, as manners look at it."""

    number: int
    """Of the event; of a batch, of its first."""
    tries: int
    """Requests with this event before."""
    before: int
    """Requests of this receiver before."""
    seconds: float
    """Since the farm began."""
    bad: bool
    """Whether times are bad."""


class Manner(NamedTuple):
    """What becomes of a request."""

    seconds: float = 0.0
    status: int | None = OK
    """None: the connection is reset instead."""
    retry_after: int | None = None


NEVER = 3_600.0
WELL = Manner()
SLOW_SECONDS, SLUGGISH_SECONDS = 0.1, 1.2
"""A median above 1 s lives in its lane."""
STUMBLES, FAILS = 40, 2
POISON = 50
SPELL_SECONDS = 2.0
LIMITED, RESET = 4, 4
GONE_AFTER = 100


def _slow(_: Asked) -> Manner:
    return Manner(SLOW_SECONDS)


def _sluggish(_: Asked) -> Manner:
    return Manner(SLUGGISH_SECONDS)


def _hanging(asked: Asked) -> Manner:
    return Manner(NEVER) if asked.bad else WELL


def _failing(asked: Asked) -> Manner:
    return Manner(status=ERROR) if asked.bad else WELL


def _stumbling(asked: Asked) -> Manner:
    """Fail one of so many events twice."""
    return Manner(status=ERROR) if asked.number % STUMBLES == 1 and asked.tries < FAILS else WELL


def _poisoned(asked: Asked) -> Manner:
    """Never take one of so many events."""
    return Manner(status=ERROR) if asked.number % POISON == 1 else WELL


def _flapping(asked: Asked) -> Manner:
    is_down = asked.bad and int(asked.seconds / SPELL_SECONDS) % 2 == 0
    return Manner(status=ERROR) if is_down else WELL


def _limiting(asked: Asked) -> Manner:
    if asked.bad and asked.before % LIMITED == 0:
        return Manner(status=TOO_MANY, retry_after=1)
    return WELL


def _resetting(asked: Asked) -> Manner:
    return Manner(status=None) if asked.bad and asked.before % RESET == 0 else WELL


def _leaving(asked: Asked) -> Manner:
    return Manner(status=GONE) if asked.bad and asked.before > GONE_AFTER else WELL


MANNERS: Mapping[str, Callable[[Asked], Manner]] = {
    "fast": lambda _: WELL,
    "slow": _slow,
    "sluggish": _sluggish,
    "hanging": _hanging,
    "failing": _failing,
    "stumbling": _stumbling,
    "poisoned": _poisoned,
    "flapping": _flapping,
    "batched": _flapping,
    "limiting": _limiting,
    "resetting": _resetting,
    "leaving": _leaving,
}
