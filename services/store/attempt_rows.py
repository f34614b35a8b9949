"""A row of `attempts`: to and from a `Recorded`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeAlias

import asyncpg
import orjson

from services.kernel.about import types_of
from services.kernel.ids import half
from services.kernel.recorded import Recorded

Row: TypeAlias = tuple[Any, ...]

_ID_HEX = 24
_AT_HEX = 14
_TRACE_HEX = 32
FRACTIONS = 1 << 24

COLUMNS = (
    "source", "at", "tail", "event", "produced_ms", "offset", "next_at", "type", "trigger", "outcome",
    "verdict", "reason", "topic", "address", "partition", "number", "size", "queue_ms", "connect_ms",
    "tls_ms", "first_byte_ms", "total_ms", "status", "event_id", "key", "plan_id", "route_id",
    "stop_id", "vehicle_id", "trace_id", "external_id", "replay", "headers", "excerpt", "error",
    "also",
)  # fmt: skip
WORDS = ("type", "trigger", "outcome", "verdict", "reason", "topic", "address")
"""Columns that hold a number of `attempt_words`."""
ENTITIES = ("plan_id", "route_id", "stop_id", "vehicle_id")
"""Ids of what an attempt is about. The key of an event is one of these, nearly always."""


def packed(text: str) -> bytes:
    """Return an id in few bytes: 24 hex as 12, anything else as UTF-8 after a zero byte.

    A text of 12 such bytes gets a second zero at its end, so that the length tells the two apart.
    """
    if len(text) == _ID_HEX:
        found = _bytes(text)
        if found is not None:
            return found
    data = b"\0" + text.encode("utf-8", "surrogatepass")
    return data + b"\0" if len(data) == _ID_HEX // 2 else data


def unpacked(data: bytes) -> str:
    """Return what `packed` made bytes of."""
    if len(data) == _ID_HEX // 2:
        return data.hex()
    return data[1:].rstrip(b"\0").decode("utf-8", "replace")


def event_number(half_id: bytes) -> int:
    """Return what an event is looked up by: the half of its deliveries' ids that it gave them."""
    return int.from_bytes(half_id, "big")


def edge(id_: str) -> tuple[int, bytes]:
    """Return columns `at` and `tail` of an attempt: its id in two."""
    return int(id_[:_AT_HEX], 16), bytes.fromhex(id_[_AT_HEX:])


def first_at(moment: datetime) -> int:
    """Return what no `at` of an attempt that began at *moment* or later is below."""
    return int(moment.timestamp() * FRACTIONS)


def started(at: int) -> datetime:
    """Return when an attempt began."""
    return datetime.fromtimestamp(at / FRACTIONS, UTC)


def words(attempts: Sequence[Recorded]) -> set[str | None]:
    """Return what is stored as numbers of `attempt_words`, and None for null."""
    found: set[str | None] = set()
    for name in WORDS:
        found.update(map(attrgetter(name), attempts))
    for attempt in attempts:
        if attempt.also:
            found.update(types_of(attempt.also))
    return found


def row(attempt: Recorded, source: int, number_of: Mapping[str | None, int | None]) -> Row:
    """Return the values of COLUMNS; *number_of* has the numbers of words, None for null."""
    (
        event_id, type_, plan, route, stop, vehicle, external, _, _, topic, partition, offset, key,
        number, trigger, replay, produced_ms, size, _, waited, connect, tls, first_byte, seconds,
        address, outcome, status, headers, excerpt, error, verdict, reason, next_at, traceparent, also,
        id_,
    ) = attempt  # fmt: skip
    entities = (plan, route, stop, vehicle)
    return (
        source,
        *edge(id_),
        event_number(half(event_id)),
        produced_ms,
        offset if topic else None,
        None if next_at is None else datetime.fromtimestamp(next_at, UTC),
        number_of[type_],
        number_of[trigger],
        number_of[outcome],
        number_of[verdict],
        number_of[reason],
        number_of[topic] if topic else None,
        number_of[address],
        partition if topic else None,
        number,
        size,
        waited * 1000,
        None if connect is None else connect * 1000,
        None if tls is None else tls * 1000,
        None if first_byte is None else first_byte * 1000,
        seconds * 1000,
        status,
        packed(event_id),
        None if key is None else _key(key, entities),
        None if plan is None else packed(plan),
        None if route is None else packed(route),
        None if stop is None else packed(stop),
        None if vehicle is None else packed(vehicle),
        None if traceparent is None else _trace(traceparent[3:35]),
        _text(external) if external else external,
        _text(replay) if replay else replay,
        _text(orjson.dumps(headers).decode()) if headers else None,
        _text(excerpt) if excerpt else None,
        _text(error) if error else error,
        [_text(each) for each in also] if also else None,
    )


def recorded(
    found: asyncpg.Record, word_of: Mapping[int | None, str], source: tuple[str, str]
) -> Recorded:
    """Return a row of the table as an attempt; *source* is its project and its subscription."""
    entities = plan, route, stop, vehicle = [_unpacked(found[name]) for name in ENTITIES]
    trace, next_at, headers = found["trace_id"], found["next_at"], found["headers"]
    return Recorded(
        event_id=unpacked(found["event_id"]),
        type=word_of[found["type"]],
        plan_id=plan,
        route_id=route,
        stop_id=stop,
        vehicle_id=vehicle,
        external_id=found["external_id"],
        subscription_id=source[1],
        project_id=source[0],
        topic=word_of.get(found["topic"], ""),
        partition=found["partition"] or 0,
        offset=found["offset"] or 0,
        key=_key_of(found["key"], entities),
        number=found["number"],
        trigger=word_of[found["trigger"]],
        replay=found["replay"],
        produced_ms=found["produced_ms"],
        size=found["size"],
        started_at=found["at"] / FRACTIONS,
        waited=found["queue_ms"] / 1000,
        connect=_seconds(found["connect_ms"]),
        tls=_seconds(found["tls_ms"]),
        first_byte=_seconds(found["first_byte_ms"]),
        seconds=found["total_ms"] / 1000,
        address=word_of.get(found["address"]),
        outcome=word_of[found["outcome"]],
        status=found["status"],
        headers=orjson.loads(headers) if headers else (),
        excerpt=found["excerpt"] or "",
        error=found["error"],
        verdict=word_of.get(found["verdict"]),
        reason=word_of.get(found["reason"]),
        next_at=None if next_at is None else next_at.timestamp(),
        traceparent=None if trace is None else f"00-{trace.hex()}",
        also=found["also"],
        id=f"{found['at']:014x}{found['tail'].hex()}",
    )


def _unpacked(data: bytes | None) -> str | None:
    return None if data is None else unpacked(data)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _key_of(data: bytes | None, entities: Sequence[str | None]) -> str | None:
    """Return what `_key` made bytes of."""
    if data is not None and len(data) == 1 and data[0]:
        return entities[data[0] - 1]
    return _unpacked(data)


def _key(key: str, entities: Sequence[str | None]) -> bytes:
    """Return a key in few bytes: one, where it is one of the ids beside it."""
    return bytes((entities.index(key) + 1,)) if key in entities else packed(key)


def _bytes(text: str) -> bytes | None:
    """Return what *text* is the hex of, in lower case; None: it is none."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    return data if data.hex() == text else None


def _trace(trace_id: str) -> bytes | None:
    return _bytes(trace_id) if len(trace_id) == _TRACE_HEX else None


def _text(text: str) -> str:
    """Return a text as Postgres can keep it: a receiver may have answered anything."""
    return text.replace("\x00", "\ufffd")
