"""Records of the log and the events they become."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, TypeGuard

from services.kernel.value import value

Json: TypeAlias = dict[str, Any]
"""A decoded JSON object."""

_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
MAX_DEPTH = 200
"""Objects and arrays within each other: beyond 254 orjson reads what it then can't write."""


class Partition(NamedTuple):
    """One partition of one topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Position(NamedTuple):
    """Where a record stands in the log."""

    partition: Partition
    offset: int

    @property
    def next_offset(self) -> int:
        """What is committed once everything up to here is settled."""
        return self.offset + 1

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


@value
class Record:
    """Kafka's bytes, as they were read."""

    position: Position
    timestamp_ms: int
    """The record's timestamp (create time or log append time), Unix milliseconds."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    """Kafka's headers may have no value, as records may."""


class Batch(NamedTuple):
    """What one poll brought of one partition."""

    records: Sequence[Record]
    """In the order of the log; may be empty where only markers were passed."""
    next_offset: int
    """The consumer's position after the batch: past markers and holes, never last offset + 1."""

    def after(self, count: int) -> "Batch":
        """Return it without its first *count* records."""
        return Batch(self.records[count:], self.next_offset)


@value
class Event:
    """Something that happened, decoded."""

    id: str
    """The producer's, or 24 hex derived from topic, partition, offset and timestamp."""
    type: str
    """Today's name; an older name in the record has been turned into it."""
    project_id: str
    created_at: str
    """When it happened, RFC 3339, as the producer wrote it."""
    body: Json
    """The whole event in the shape of `planner-2022`, with `id` and today's `type`; do not mutate."""
    position: Position
    key: str | None
    """The record's key without the project: the unit of order, and CloudEvents' `subject`."""
    timestamp_ms: int
    """Of the record."""
    size: int = 0
    """Bytes of the record's value."""
    traceparent: str | None = None
    known: bool = True
    """Whether the catalogue has the type."""


@value
class Poison:
    """Why a record is no event; it goes to the quarantine and is due to nobody."""

    reason: str
    """`null`, `json`, `oversize`, `envelope`, `cloudevent`: a closed set, used as a label."""
    pointer: str
    """JSON pointer into the value; empty for the whole of it."""
    message: str
    """A sentence for people."""


def is_traceparent(text: str | None) -> TypeGuard[str]:
    """Tell whether *text* is one of version 00 (W3C Trace Context)."""
    return text is not None and _TRACEPARENT.match(text) is not None


def is_too_deep(text: bytes, body: object) -> bool:
    """Tell whether *body*, which *text* was decoded to, is nested over MAX_DEPTH levels."""
    # Counting comes first: it takes a microsecond, and most texts have fewer brackets.
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return False
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)
