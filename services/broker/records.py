"""What aiokafka read, as the stages see it."""

from collections.abc import Sequence
from typing import Any

from services.kernel.event import Partition, Position, Record


def records_of(partition: Partition, records: Sequence[Any]) -> list[Record]:
    """Return aiokafka's *records* of *partition* as ours."""
    return [
        Record(
            position=Position(partition, record.offset),
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        for record in records
    ]
