"""A row of `attempts`: to and from a `Recorded`."""

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from services.kernel.recorded import Recorded

_HEX = re.compile(r"(?:[0-9a-f]{2})+\Z")
_ID_HEX = 24
_TRACE_HEX = 32
FRACTIONS = 1 << 24

COLUMNS = (
    "id", "event", "produced_ms", "offset", "next_at", "source", "type", "trigger", "outcome",
    "verdict", "reason", "topic", "address", "partition", "number", "size", "queue_ms", "connect_ms",
    "tls_ms", "first_byte_ms", "total_ms", "status", "event_id", "key", "plan_id", "route_id",
    "stop_id", "vehicle_id", "trace_id", "external_id", "replay", "headers", "excerpt", "error",
)  # fmt: skip


def packed(text: str) -> bytes:
    """Return an id in few bytes: 24 hex as 12, anything else as UTF-8 after a zero byte.

    A text of 12 such bytes gets a second zero at its end, so that the length tells the two apart.
    """
    if len(text) == _ID_HEX and _HEX.match(text):
        return bytes.fromhex(text)
    data = b"\0" + text.encode("utf-8", "surrogatepass")
    return data + b"\0" if len(data) == _ID_HEX // 2 else data


def unpacked(data: bytes) -> str:
    """Return what `packed` made bytes of."""
    if len(data) == _ID_HEX // 2:
        return data.hex()
    return data[1:].rstrip(b"\0").decode("utf-8", "replace")


def event_number(delivery_id: str) -> int:
    """Return the part of a delivery's id that its event gave it."""
    return int(delivery_id[:12], 16)


def first_id(moment: datetime) -> bytes:
    """Return what no id of an attempt that began at *moment* or later is below."""
    return int(moment.timestamp() * FRACTIONS).to_bytes(7, "big") + bytes(5)


def started(id_: bytes) -> datetime:
    """Return when an attempt began."""
    return datetime.fromtimestamp(int.from_bytes(id_[:7], "big") / FRACTIONS, UTC)


def words(attempt: Recorded) -> tuple[str | None, ...]:
    """Return what is stored as numbers of `attempt_words`, in the order of the columns."""
    position = attempt.position
    return (
        attempt.about.type,
        attempt.trigger,
        attempt.outcome,
        attempt.verdict,
        attempt.reason,
        position.partition.topic if position else None,
        attempt.address,
    )


def row(attempt: Recorded, source: int, number_of: dict[str | None, int | None]) -> tuple[Any, ...]:
    """Return the values of COLUMNS; *number_of* has the word's numbers, None for None."""
    position = attempt.position
    about = attempt.about
    next_ms = attempt.next_ms
    return (
        bytes.fromhex(attempt.id),
        event_number(attempt.delivery_id),
        attempt.produced_ms,
        position.offset if position else None,
        None if next_ms is None else datetime.fromtimestamp(next_ms / 1000, UTC),
        source,
        *(number_of[word] for word in words(attempt)),
        position.partition.number if position else None,
        attempt.number,
        attempt.size,
        attempt.queue_ms,
        attempt.connect_ms,
        attempt.tls_ms,
        attempt.first_byte_ms,
        attempt.total_ms,
        attempt.status,
        packed(attempt.event_id),
        _packed(attempt.key),
        _packed(about.plan_id),
        _packed(about.route_id),
        _packed(about.stop_id),
        _packed(about.vehicle_id),
        _trace(attempt.trace_id),
        _text(about.external_id),
        _text(attempt.replay),
        _text(orjson.dumps(attempt.headers).decode()) if attempt.headers else None,
        _text(attempt.excerpt) or None,
        _text(attempt.error),
    )


def _packed(id_: str | None) -> bytes | None:
    return None if id_ is None else packed(id_)


def _trace(trace_id: str | None) -> bytes | None:
    if trace_id is None or len(trace_id) != _TRACE_HEX or not _HEX.match(trace_id):
        return None
    return bytes.fromhex(trace_id)


def _text(text: str | None) -> str | None:
    """Return a text as Postgres can keep it: a receiver may have answered anything."""
    return text.replace("\x00", "\ufffd") if text else text
