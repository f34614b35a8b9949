"""Writes records; idempotent, acks=all."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from services.broker.connection import GONE, Connection, finished
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.event import Partition, Position

START_SECONDS = 10.0
STOP_SECONDS = 1.0
SECONDS = 10.0
LINGER_MS = 2
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""For the client, for the topic, for a segment of its log."""


class KafkaProducer:
    """The `Producer` of all roles."""

    def __init__(self, *, connection: Connection, max_record_bytes: int) -> None:
        self._producer = AIOKafkaProducer(
            **connection.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=LINGER_MS,
            max_request_size=max_record_bytes + 65_536,
            request_timeout_ms=int(SECONDS * 1000),
        )

    async def start(self) -> None:
        """Connect. Raises BrokerGoneError."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._producer.start()
        except GONE as error:
            raise BrokerGoneError(f"Kafka can't be reached: {error}") from error

    async def stop(self) -> None:
        """Disconnect, within a second or so: whoever wrote something has waited for it already."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await finished(self._producer.stop())
        except GONE as error:
            raise BrokerGoneError(f"the last records may be lost: {error}") from error

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> Position:
        """Write one record and return where it is, once all replicas in sync have it."""
        if key is None and value is None:
            value = b""  # aiokafka asserts that there is one of them; a quarantined record may have none
        try:
            async with asyncio.timeout(SECONDS):
                written = await self._producer.send_and_wait(
                    topic, key=key, value=value, headers=list(headers), partition=partition
                )
        except TOO_LARGE as error:
            raise BrokerRefusedError(f"the record is too large for {topic}: {error}") from error
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        return Position(Partition(topic, written.partition), written.offset)
