"""One attempt as a line: where its time went, to the scale of the longest; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

WIDTH, HEIGHT = 640, 10
"""Of a line's view box."""
LEAST = 2.0
"""Of the width: what took any time at all is seen."""


class Phase(NamedTuple):
    """A part of an attempt."""

    kind: str
    """Its class in the style sheet."""
    name: str
    ms: float
    x: float
    width: float


NAMES = {
    "queue": "in line",
    "connect": "connecting",
    "tls": "TLS",
    "first": "waiting for the answer",
    "rest": "sending and reading",
}


def longest(attempts: Sequence[Mapping[str, Any]]) -> float:
    """Return the milliseconds that the scale of several attempts ends at."""
    return max((_whole(attempt["phases"]) for attempt in attempts), default=0.0) or 1.0


def phases(attempt: Mapping[str, Any], scale_ms: float) -> list[Phase]:
    """Return where the time of an attempt went; a part that took none is left out."""
    found: list[Phase] = []
    x = 0.0
    for kind, ms in _parts(attempt).items():
        if ms > 0:
            width = max(ms / scale_ms * WIDTH, LEAST)
            found.append(Phase(kind, NAMES[kind], ms, round(x, 2), round(width, 2)))
            x += width
    return found


def _parts(attempt: Mapping[str, Any]) -> dict[str, float]:
    found = attempt["phases"]
    connect, tls, first = (found[name] or 0.0 for name in ("connect_ms", "tls_ms", "first_byte_ms"))
    rest = max((found["total_ms"] or 0.0) - connect - tls - first, 0.0)
    if attempt["outcome"] == "timeout" and found["first_byte_ms"] is None:
        first, rest = rest, 0.0  # it was waited for, and didn't come
    return {
        "queue": found["queue_ms"] or 0.0,
        "connect": connect,
        "tls": tls,
        "first": first,
        "rest": rest,
    }


def _whole(found: Mapping[str, float | None]) -> float:
    return (found["queue_ms"] or 0.0) + (found["total_ms"] or 0.0)
