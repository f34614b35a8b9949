"""Clients beside the member: offsets, the log by pointer, the producer."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from services.kernel.errors import (
    BrokerGoneError,
    OutOfLogError,
)
from services.kernel.event import Batch, Partition, Position
from services.kernel.ports.broker import Bounds, Commit
from tests.support.fake_kafka.broker import FakeKafka
from tests.support.server import GoneError

T = TypeVar("T")
ASK_SECONDS = 10.0


class FakeOffsets:
    """Offsets and bounds: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        """Return the group's offsets with their metadata; None where there is none."""
        return await self._ask(lambda: {p: self._kafka.group.offsets.get(p) for p in partitions})

    async def partitions(self, topics: Collection[str]) -> Sequence[Partition]:
        """Return the partitions of those of *topics* that exist."""
        return await self._ask(lambda: sorted(p for p in self._kafka.logs if p.topic in topics))

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        """Return start and end of each partition."""
        logs = self._kafka.logs
        return await self._ask(lambda: {p: Bounds(logs[p].start, logs[p].end) for p in partitions})

    async def retention(self, topics: Collection[str]) -> Mapping[str, timedelta | None]:
        """Return for how long each topic keeps a record; None: for ever."""
        return await self._ask(lambda: dict.fromkeys(topics, self._kafka.retention))

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset at or after *moment_ms*; the end where there is none."""
        logs = self._kafka.logs
        return await self._ask(lambda: {p: logs[p].at(moment_ms) for p in partitions})

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._kafka.ask(effect, seconds=ASK_SECONDS)
        except GoneError as error:
            raise BrokerGoneError(str(error)) from error


class FakeLogReader:
    """The log by pointer: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def read(
        self, positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        """Return up to *limit* records from these offsets on, of some partitions; maybe nothing."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        while True:
            more = self._kafka.more()
            try:
                found = await self._kafka.ask(
                    lambda: self._within(positions, limit), seconds=ASK_SECONDS
                )
            except GoneError as error:
                raise BrokerGoneError(str(error)) from error
            left = until - loop.time()
            if found or left <= 0:
                return found
            await asyncio.wait([more], timeout=left)

    async def stop(self) -> None:
        """Close."""

    def _within(self, positions: Mapping[Partition, int], limit: int) -> Mapping[Partition, Batch]:
        logs = self._kafka.logs
        outside = [p for p, at in positions.items() if not logs[p].start <= at <= logs[p].end]
        if outside:
            raise OutOfLogError(", ".join(map(str, outside)))
        found = {}
        for partition, offset in positions.items():
            records, next_offset = logs[partition].read(offset, limit)
            if limit > 0 and next_offset > offset:
                found[partition] = Batch(records, next_offset)
                limit -= len(records)
        return found


class FakeProducer:
    """Writes records: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> Position:
        """Write one record, to the first partition of *topic* where none is named."""
        place = Partition(topic, partition or 0)
        try:
            return await self._kafka.ask(
                lambda: self._kafka.append(place, value, key=key, headers=headers),
                seconds=ASK_SECONDS,
            )
        except GoneError as error:
            raise BrokerGoneError(str(error)) from error
