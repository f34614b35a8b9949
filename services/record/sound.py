"""Whether a record's attempts can be stored: anybody may write to a topic, and one record that Postgres
refuses would stop its partition for ever.

A look at each column, at the speed of C: 1 µs an attempt.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from services.kernel.recorded import LEAST, WIDTH, Recorded

NONE = type(None)
TEXT, MAYBE_TEXT = frozenset({str}), frozenset({str, NONE})
WHOLE = frozenset({int})
NUMBER, MAYBE_NUMBER = frozenset({int, float}), frozenset({int, float, NONE})
TYPES = {
    **dict.fromkeys(("event_id", "type", "subscription_id", "project_id", "trigger"), TEXT),
    **dict.fromkeys(("topic", "outcome", "excerpt"), TEXT),
    **dict.fromkeys(("plan_id", "route_id", "stop_id", "vehicle_id", "external_id"), MAYBE_TEXT),
    **dict.fromkeys(("key", "replay", "address", "error", "verdict"), MAYBE_TEXT),
    **dict.fromkeys(("reason", "traceparent"), MAYBE_TEXT),
    **dict.fromkeys(("partition", "offset", "number", "produced_ms", "size"), WHOLE),
    **dict.fromkeys(("started_at", "waited", "seconds"), NUMBER),
    **dict.fromkeys(("connect", "tls", "first_byte", "next_at"), MAYBE_NUMBER),
    "status": frozenset({int, NONE}),
    "headers": frozenset({list}),
    "also": frozenset({list, NONE}),
}
MOST = {
    **dict.fromkeys(("partition", "number", "size"), (1 << 31) - 1),
    **dict.fromkeys(("offset", "produced_ms"), (1 << 63) - 1),
    **dict.fromkeys(("waited", "connect", "tls", "first_byte", "seconds"), 1e12),
    **dict.fromkeys(("started_at", "next_at"), 1e11),  # before the year 5000
    "status": (1 << 15) - 1,
}
"""Of columns of numbers; the least is -1: a test call has no offset."""
INDEXED = (
    "type", "plan_id", "route_id", "stop_id", "vehicle_id", "external_id", "subscription_id",
    "project_id", "topic", "trigger", "outcome", "verdict", "reason", "address",
)  # fmt: skip
MAX_CHARS = 600
"""Of what is indexed: Postgres refuses more than 2.7 kB, and a character has up to four bytes."""


def unsound(rows: Sequence[Sequence[Any]]) -> str | None:
    """Say what can't be stored; None: all can."""
    if min(map(len, rows), default=WIDTH) < WIDTH:
        return f"an attempt has fewer than {LEAST} fields"
    columns = dict(zip(Recorded._fields[:WIDTH], zip(*rows, strict=False), strict=False))
    for name, column in columns.items():
        if not TYPES[name].issuperset(map(type, column)):
            return f"{name} is of no type that it has"
    for name, most in MOST.items():
        numbers = [number for number in columns.get(name, ()) if number is not None]
        if numbers and not (min(numbers) >= -1 and max(numbers) <= most):
            return f"{name} is out of range"
    for name in INDEXED:
        if max(map(len, filter(None, columns.get(name, ()))), default=0) > MAX_CHARS:
            return f"{name} has more than {MAX_CHARS} characters"
    return _unsound_within(columns.get("headers", ()), columns.get("also", ()))


def _unsound_within(
    headers: Sequence[Sequence[object]], also: Sequence[Sequence[object] | None]
) -> str | None:
    if any(headers) and not all(map(_is_pair, _pairs(headers))):
        return "headers are not pairs of texts"
    if any(also) and not all(type(t) is str and len(t) <= MAX_CHARS for t in _texts(also)):
        return f"also is not a list of texts of up to {MAX_CHARS} characters"
    return None


def _texts(lists: Iterable[Iterable[object] | None]) -> Iterable[object]:
    return (text for each in lists if each is not None for text in each)


def _pairs(headers: Iterable[Iterable[object]]) -> Iterable[object]:
    return (pair for each in headers for pair in each)


def _is_pair(pair: object) -> bool:
    return isinstance(pair, list) and [type(text) for text in pair] == [str, str]
