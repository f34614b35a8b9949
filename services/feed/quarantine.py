"""A record that is no event, as it is kept: its own bytes, and why, in headers."""

from typing import NamedTuple

from services.kernel.event import Poison, Record


class Quarantined(NamedTuple):
    """What is produced to the quarantine topic."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


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
