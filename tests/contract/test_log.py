"""What whoever reads the log by pointer relies on; the simulation's log is held to the same."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.broker.reader import KafkaLogReader
from services.kernel.errors import OutOfLogError
from services.kernel.event import Batch, Partition, Record
from services.kernel.ports.broker import LogReader, Offsets
from tests.support.eventually import eventually
from tests.support.fake_kafka import FakeKafka, FakeLogReader, FakeOffsets
from tests.support.group import a_connection, a_topic, offsets_of, transactions

pytestmark = pytest.mark.timeout(90)

WAIT = timedelta(seconds=5)
KEPT = timedelta(days=1)
"""As `a_topic` makes them."""
PATIENCE = timedelta(seconds=20)
"""Where a record is there: it comes at once, or when a busy machine gets to it."""
MOMENT = timedelta(milliseconds=50)
BEGAN = int(time.time() * 1000) - 60_000
"""When the first record is of, Unix milliseconds: lately, or Kafka deletes it when it next looks."""
NEVER = 4_000_000_000_000
"""Milliseconds after that, long after all records and markers, which have a time of their own."""


@dataclass
class Written:
    """One of the two logs: two partitions, the first with "0" … "9", a marker, then "10"."""

    partitions: list[Partition]
    reader: LogReader
    offsets: Offsets
    delete_below: Callable[[int], object]

    async def read_all(
        self, positions: Mapping[Partition, int], *, limit: int = 500
    ) -> tuple[list[Record], dict[Partition, int]]:
        """Read on until the ends; return the records in order, and where each partition ended."""
        bounds = await self.offsets.bounds(list(positions))
        at, records = dict(positions), []
        while any(at[p] < bounds[p].end for p in at):
            for partition, batch in (await self.reader.read(at, limit=limit, wait=WAIT)).items():
                assert batch.next_offset > at[partition]
                records += batch.records
                at[partition] = batch.next_offset
        return records, at


@pytest.fixture(params=["fake", "kafka"])
async def log(request: pytest.FixtureRequest, kafka: str) -> AsyncIterator[Written]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield a_fake()
        else:
            yield await a_real(kafka, stack)


def a_fake() -> Written:
    kafka = FakeKafka({"t": 2})
    kafka.retention = KEPT
    first, second = kafka.logs
    for n in range(10):
        kafka.append(first, b"%d" % n, timestamp_ms=BEGAN + n)
    kafka.skip(first, 1)
    kafka.append(first, b"10", timestamp_ms=BEGAN + 1_000)

    def delete_below(offset: int) -> None:
        kafka.delete_below(first, offset)

    return Written([first, second], FakeLogReader(kafka), FakeOffsets(kafka), delete_below)


async def a_real(kafka: str, stack: AsyncExitStack) -> Written:
    first, second = await a_topic(kafka, partitions=2)
    async with transactions(kafka) as producer:
        for values in (range(10), range(10, 11)):
            async with producer.transaction():
                for n in values:
                    await producer.send_and_wait(
                        first.topic,
                        b"%d" % n,
                        partition=0,
                        timestamp_ms=BEGAN + (n if n < 10 else 1_000),
                    )
    reader = KafkaLogReader(connection=a_connection(kafka))
    stack.push_async_callback(reader.stop)
    offsets = await stack.enter_async_context(offsets_of(kafka, "nobody"))

    async def delete_below(offset: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(*first): RecordsToDelete(offset)})
        finally:
            await admin.close()

    return Written([first, second], reader, offsets, delete_below)


def values(records: Collection[Record]) -> list[int]:
    return [int(record.value or b"") for record in records]


async def test_a_log_is_read_from_any_offset_to_its_end_past_markers(log: Written) -> None:
    first, second = log.partitions
    records, at = await log.read_all({first: 7, second: 0}, limit=2)
    assert values(records) == [7, 8, 9, 10]
    assert at == {p: b.end for p, b in (await log.offsets.bounds([first, second])).items()}


async def test_reading_goes_on_or_jumps_as_the_caller_says(log: Written) -> None:
    first, _ = log.partitions
    seen = []
    for offset in (0, 2, 8, 1):
        batch = (await log.reader.read({first: offset}, limit=2, wait=PATIENCE))[first]
        seen.append(values(batch.records))
    assert seen == [[0, 1], [2, 3], [8, 9], [1, 2]]


async def test_a_partition_is_added_and_left_out_between_two_calls(log: Written) -> None:
    first, second = log.partitions
    assert (await log.reader.read({second: 0}, limit=2, wait=MOMENT)) == {}
    assert values((await log.read_all({second: 0, first: 5}))[0]) == [5, 6, 7, 8, 9, 10]
    assert (await log.reader.read({second: 0}, limit=2, wait=MOMENT)) == {}
    assert values((await log.read_all({first: 9}))[0]) == [9, 10]


async def test_at_the_end_nothing_comes_and_the_wait_is_kept(log: Written) -> None:
    first, _ = log.partitions
    end = (await log.offsets.bounds([first]))[first].end
    assert await log.reader.read({first: end}, limit=10, wait=MOMENT) == {}


async def test_a_read_that_was_cancelled_takes_nothing_with_it(log: Written) -> None:
    first, _ = log.partitions
    end = (await log.offsets.bounds([first]))[first].end
    reading = asyncio.ensure_future(log.reader.read({first: end}, limit=10, wait=WAIT))
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert values((await log.read_all({first: 8}))[0]) == [8, 9, 10]


@pytest.mark.parametrize("offset", [3, 1_000])
async def test_an_offset_outside_of_the_log_is_said_and_the_reader_goes_on(
    log: Written, offset: int
) -> None:
    first, _ = log.partitions
    deleted = log.delete_below(5)
    if deleted is not None:
        await deleted  # type: ignore[misc]  # the real one takes a moment
    with pytest.raises(OutOfLogError, match=str(first)):
        await log.reader.read({first: offset}, limit=10, wait=WAIT)

    async def goes_on() -> bool:
        # A broker that has just deleted records may say so of the first that is left, once or twice.
        with suppress(OutOfLogError):
            return values((await log.read_all({first: 5}))[0])[:1] == [5]
        return False

    await eventually(goes_on)


@pytest.mark.parametrize(("moment", "first_value"), [(-1, 0), (4, 4), (500, 10), (NEVER, None)])
async def test_a_time_is_the_first_offset_at_or_after_it(
    log: Written, moment: int, first_value: int | None
) -> None:
    first, second = log.partitions
    found = await log.offsets.at([first, second], BEGAN + moment)
    bounds = await log.offsets.bounds([first, second])
    assert found[second] == bounds[second].end
    wait = MOMENT if first_value is None else PATIENCE
    batch = (await log.reader.read({first: found[first]}, limit=1, wait=wait)).get(
        first, Batch((), 0)
    )
    assert values(batch.records) == ([] if first_value is None else [first_value])
    if first_value is None:
        assert found[first] == bounds[first].end


async def test_a_topic_says_how_long_it_keeps_a_record(log: Written) -> None:
    topic = log.partitions[0].topic
    assert await log.offsets.retention([topic]) == {topic: KEPT}
    assert await log.offsets.retention([]) == {}


async def test_partitions_are_those_of_the_topics_that_exist(log: Written) -> None:
    topic = log.partitions[0].topic
    assert list(await log.offsets.partitions([topic, "no.such.topic"])) == log.partitions
    assert list(await log.offsets.partitions(["no.such.topic"])) == []
