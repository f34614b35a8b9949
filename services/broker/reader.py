"""The log by pointer, outside of any group."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from services.broker.connection import GONE, Connection, stopped
from services.broker.records import records_of
from services.kernel.errors import BrokerGoneError, OutOfLogError
from services.kernel.event import Batch, Partition
from services.kernel.value import value

log = structlog.get_logger()

START_SECONDS = 10.0
STOP_SECONDS = 5.0
REST_SECONDS = 5.0
"""Without a read for so long nothing is fetched ahead any more: it would be ten times a second."""


@value
class ReaderOptions:
    """How much a reader fetches ahead."""

    fetch_max_wait_ms: int = 100
    fetch_max_bytes: int = 4 << 20
    max_partition_fetch_bytes: int = 1 << 20


class KafkaLogReader:
    """The `LogReader`: a consumer without a group, connected on first use, made anew when lost.

    aiokafka fetches what is assigned, and fetches no more from a broker while it has unread records
    of one partition: what isn't asked for in a call is paused. A cancelled fetch leaves a counter
    behind that only a member of a group is judged by, so a read may be cancelled here.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        options: ReaderOptions | None = None,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self._connection = connection
        self._options = options or ReaderOptions()
        self._rest_seconds = rest_seconds
        self._resting: asyncio.TimerHandle | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._at: dict[TopicPartition, int] = {}
        """Where the consumer goes on, by partition assigned."""

    async def read(
        self, positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        """Return up to *limit* records from these offsets on, of some partitions; maybe nothing."""
        if not positions:
            return {}
        self._stay()
        try:
            return await self._read(positions, limit=limit, wait=wait)
        finally:
            loop = asyncio.get_running_loop()
            self._resting = loop.call_later(self._rest_seconds, self._rest)

    async def _read(
        self, positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        asked = {TopicPartition(*partition): offset for partition, offset in positions.items()}
        try:
            consumer = await self._connected()
            self._point(consumer, asked)
            found = await consumer.getmany(
                *asked, timeout_ms=int(wait.total_seconds() * 1000), max_records=limit
            )
            for tp in asked:
                self._at[tp] = await consumer.position(tp)
        except OffsetOutOfRangeError as error:
            outside = [Partition(tp.topic, tp.partition) for tp in error.args[0]]
            self._at = {tp: at for tp, at in self._at.items() if tp not in error.args[0]}
            raise OutOfLogError(", ".join(f"{p}@{positions.get(p)}" for p in outside)) from error
        except GONE as error:
            await self.stop()
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        return self._batches(asked, found)

    async def stop(self) -> None:
        """Close within a few seconds."""
        self._stay()
        consumer, self._consumer, self._at = self._consumer, None, {}
        if consumer is not None:
            await _close(consumer)

    def _stay(self) -> None:
        if self._resting is not None:
            self._resting.cancel()

    def _rest(self) -> None:
        """Fetch nothing more until the next read, and let go of what was fetched ahead."""
        consumer = self._consumer
        if consumer is not None:
            paused = consumer.paused()
            consumer.pause(*(tp for tp in self._at if tp not in paused))
            for tp, at in self._at.items():
                consumer.seek(tp, at)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._connection.options(),
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level="read_committed",
                fetch_max_wait_ms=self._options.fetch_max_wait_ms,
                fetch_max_bytes=self._options.fetch_max_bytes,
                max_partition_fetch_bytes=self._options.max_partition_fetch_bytes,
            )
            try:
                async with asyncio.timeout(START_SECONDS):
                    await consumer.start()
            except BaseException:
                await _close(consumer)
                raise
            self._consumer = consumer
        return self._consumer

    def _point(self, consumer: AIOKafkaConsumer, asked: Mapping[TopicPartition, int]) -> None:
        """Have *consumer* read from there on, and nothing else. Nothing awaits: no fetch between."""
        if not asked.keys() <= self._at.keys():
            consumer.assign([*self._at, *(tp for tp in asked if tp not in self._at)])
            for tp, at in self._at.items():
                consumer.seek(tp, at)
        for tp, offset in asked.items():
            if self._at.get(tp) != offset:
                consumer.seek(tp, offset)
                self._at[tp] = offset
        paused = consumer.paused()
        consumer.pause(*(tp for tp in self._at if tp not in asked and tp not in paused))
        consumer.resume(*(tp for tp in asked if tp in paused))

    def _batches(
        self, asked: Mapping[TopicPartition, int], found: Mapping[TopicPartition, Sequence[Any]]
    ) -> Mapping[Partition, Batch]:
        batches = {}
        for tp, offset in asked.items():
            partition, next_offset = Partition(tp.topic, tp.partition), self._at[tp]
            # After a seek aiokafka may hand out what it had fetched before.
            fresh = [record for record in found.get(tp, ()) if record.offset >= offset]
            if fresh or next_offset > offset:
                batches[partition] = Batch(records_of(partition, fresh), next_offset)
        return batches


async def _close(consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await stopped(consumer)
    except GONE as error:
        log.warning("reader_stop", error=f"{type(error).__name__}: {error}")
