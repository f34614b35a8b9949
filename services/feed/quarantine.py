"""A record that is no event, as it is kept: its own bytes, and why, in headers."""

from dataclasses import replace
from typing import NamedTuple

from services.kernel.event import Poison, Record


class Quarantined(NamedTuple):
    """What is produced to the quarantine topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


KEPT_KEY = 1 << 10
KEPT_VALUE = 1 << 16
"""Bytes of what is too large for the quarantine as a whole."""


def quarantine_record(record: Record, poison: Poison) -> Quarantined:
    """Return *record* with its source and the reason added to its headers."""
    partition = record.position.partition
    found = {
        "webhooks-reason": poison.reason,
        "webhooks-pointer": poison.pointer,
        "webhooks-message": poison.message[:1024],
        "webhooks-topic": partition.topic,
        "webhooks-partition": str(partition.number),
        "webhooks-offset": str(record.position.offset),
        "webhooks-timestamp": str(record.timestamp_ms),
    }
    added = [(name, value.encode()) for name, value in found.items()]
    return Quarantined(record.key, record.value, [*record.headers, *added])


def shortened(record: Record, poison: Poison) -> Quarantined:
    """Return *record* as it is kept where the quarantine doesn't take it whole.

    The source stands in its headers: while the log lasts, the whole of it is there.
    """
    cut = replace(
        record,
        key=record.key and record.key[:KEPT_KEY],
        value=record.value and record.value[:KEPT_VALUE],
        headers=(),
    )
    kept = quarantine_record(cut, poison)
    kept.headers.append(("webhooks-truncated", str(len(record.value or b"")).encode()))
    return kept
