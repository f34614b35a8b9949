"""The load of a chaos run: events at an even rate, and the log read back as what there really was."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

import orjson

from services.broker.offsets import KafkaOffsets
from services.broker.reader import KafkaLogReader
from services.dev.sink import event_id, event_number, produced_at
from services.kernel.clock import SystemClock, rfc3339
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition
from services.run.stack import PARTITIONS, Stack

KEYS = 64
TYPES = ("plan.created", "plan.created", "route.created")
"""By number."""
READ_RECORDS, READ_SECONDS = 5_000, 0.5


class Log(NamedTuple):
    """What the topic holds, by number of event."""

    places: Mapping[int, tuple[int, int]]
    """Partition and offset."""
    produced: Mapping[int, float]
    """Unix seconds."""
    in_order: Mapping[int, Sequence[int]]
    """The numbers of each key, as they lie in the log."""


class Load:
    """Produces until stopped; then waits until all is written."""

    def __init__(self, stack: Stack, topic: str, *, rate: float) -> None:
        self._stack = stack
        self._topic = topic
        self._rate = rate
        self._stopping = False
        self._began = 0.0
        self.count = 0
        """Events that were begun to be written: the number of the next."""

    def stop(self) -> None:
        """Produce no more."""
        self._stopping = True

    def time_of(self, number: int) -> float:
        """Return when an event was produced, Unix seconds."""
        return self._began + number / self._rate

    async def run(self) -> None:
        """Produce evenly; what Kafka doesn't take while it is away is in the log or isn't."""
        loop = asyncio.get_running_loop()
        began, self._began = loop.time(), SystemClock().time()
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                group.create_task(self._produce(self.count))
                self.count += 1
                await asyncio.sleep(max(0.0, began + self.count / self._rate - loop.time()))

    async def _produce(self, number: int) -> None:
        key = f"{self._stack.project}:{number % KEYS:024x}".encode()
        event = {
            "id": event_id(number),
            "type": TYPES[number % len(TYPES)],
            "created_at": rfc3339(SystemClock().now()),
            "project_id": self._stack.project,
            "data": {
                "id": f"{number % KEYS:024x}",
                "project_id": self._stack.project,
                "status": "planning",
                "label": "x" * 200,
            },
        }
        with suppress(BrokerGoneError):
            await self._stack.producer.produce(self._topic, key=key, value=orjson.dumps(event))

    async def read_back(self) -> Log:
        """Read the whole topic."""
        partitions = [Partition(self._topic, number) for number in range(PARTITIONS)]
        offsets = KafkaOffsets(connection=self._stack.connection, group="chaos")
        await offsets.start()
        try:
            ends = {p: bounds.end for p, bounds in (await offsets.bounds(partitions)).items()}
        finally:
            await offsets.stop()
        reader = KafkaLogReader(connection=self._stack.connection)
        log = Log({}, {}, defaultdict(list))
        at = dict.fromkeys(partitions, 0)
        try:
            while left := {p: offset for p, offset in at.items() if offset < ends[p]}:
                batches = await reader.read(
                    left, limit=READ_RECORDS, wait=timedelta(seconds=READ_SECONDS)
                )
                for partition, batch in batches.items():
                    at[partition] = batch.next_offset
                    for record in batch.records:
                        _add(log, partition.number, record.position.offset, record.value or b"")
        finally:
            await reader.stop()
        return log


def _add(log: Log, partition: int, offset: int, value: bytes) -> None:
    id_ = orjson.loads(value)["id"]
    number = event_number(id_)
    log.places[number] = partition, offset  # type: ignore[index]  # being built
    log.produced[number] = produced_at(id_)  # type: ignore[index]
    log.in_order[number % KEYS].append(number)  # type: ignore[attr-defined]
