"""The demo's webhooks: what each asks for, and how its receiver behaves. Pure.

One takes everything. The other two fail on purpose, so that there is something to find, to explain and to
send again: one refuses what it doesn't know, whose events are given up after two retries; one is down
for a while, whose events wait.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

OK, UNKNOWN, BROKEN = 200, 422, 500
EVERY_SECONDS = 180.0
DOWN_FROM, DOWN_UNTIL = 15.0, 90.0
"""Seconds of each of those spells in which the wall screen is down."""


class Answer(NamedTuple):
    """What a receiver says."""

    status: int = OK
    text: str = ""


Manner = Callable[[Mapping[str, str], float], Answer]
"""Headers of a request, by their lower-case names, and seconds since the receiver began."""


class Webhook(NamedTuple):
    """One webhook of the demo."""

    path: str
    description: str
    types: Sequence[str]
    answer: Manner
    retry_schedule: Sequence[float] | None = None
    """Seconds between attempts; None: the usual ones."""


def _takes(_headers: Mapping[str, str], _seconds: float) -> Answer:
    return Answer()


def _refuses(headers: Mapping[str, str], _seconds: float) -> Answer:
    """Refuse canceled stops; what a person resends is taken, as if it had been mended meanwhile."""
    is_unknown = headers.get("planner-event-type") == "stop.report.canceled"
    if is_unknown and "planner-replay" not in headers:
        return Answer(UNKNOWN, '{"error": "cancel_reason customer_absent: no such code"}')
    return Answer()


def _is_down(_headers: Mapping[str, str], seconds: float) -> Answer:
    if DOWN_FROM <= seconds % EVERY_SECONDS < DOWN_UNTIL:
        return Answer(BROKEN, "database: too many connections")
    return Answer()


WEBHOOKS = (
    Webhook("/demo", "Everything", ("*", "vehicle.position"), _takes),
    Webhook("/erp", "ERP", ("stop.report.*",), _refuses, retry_schedule=(5, 10)),
    Webhook(
        "/wall", "Wall screen", ("stop.approaching", "stop.arrived", "stop.departed"), _is_down
    ),
)
FAULTS = (
    "/erp refuses canceled stops, /wall is down for a while: the dashboard shows why, and what then"
)
"""What a person is told of them, in one line."""
