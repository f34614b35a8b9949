"""The buffer never makes a delivery wait; what it can't hold is counted, and nothing else is lost."""

import asyncio
from collections.abc import Sequence

from services.kernel.attempt import Acknowledged
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition, Position
from services.kernel.ports.history import Written
from services.observe import metrics
from services.record.buffer import RECORD_BYTES, Attempts, Bounds
from services.record.codec import decode
from tests.support.rows import a_delivery, an_attempt
from tests.support.virtual_time import VirtualClock, run_virtually

SUBSCRIPTION = "5e208446c97efa37d4830b0c"


class Log:
    """A producer whose Kafka can be away: before it has a record, or after."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.keys: set[bytes | None] = set()
        self.away = False
        self.silent = 0
        """So many records are taken without word of it."""
        self.seconds = 0.001
        """Until a record is acknowledged."""

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> Position:
        assert (topic, list(headers)) == ("attempts", [])
        assert value is not None
        await asyncio.sleep(self.seconds)
        if self.away:
            raise BrokerGoneError
        self.keys.add(key)
        self.values.append(value)
        if self.silent:
            self.silent -= 1
            raise BrokerGoneError
        return Position(Partition(topic, 0), len(self.values))

    def written(self) -> list[Written]:
        return [decode(value) for value in self.values]

    def offsets(self) -> list[int]:
        """Return the events attempted, each record once: as a recorder counts them."""
        records = {(w.run, w.number): w for w in self.written()}
        return [a.position.offset for w in records.values() for a in w.attempts if a.position]


def a_buffer(log: Log, *, attempts: int = 10_000, bytes_: int = 1 << 24) -> Attempts:
    return Attempts(
        producer=log,
        topic="attempts",
        worker="w0",
        bounds=Bounds(attempts=attempts, bytes=bytes_, seconds=0.1),
        clock=VirtualClock(),
        entropy=bytes,
    )


def add(buffer: Attempts, offset: int, *, excerpt: bytes = b"") -> None:
    attempt = an_attempt(excerpt=excerpt)
    buffer.add(a_delivery(SUBSCRIPTION, offset=offset), attempt, Acknowledged())


def test_attempts_of_a_tenth_of_a_second_share_a_record_under_the_workers_key() -> None:
    async def story() -> None:
        log = Log()
        buffer = a_buffer(log)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            for offset in range(100):
                add(buffer, offset)
                await asyncio.sleep(0.004)
            await asyncio.sleep(0.2)
            running.cancel()
        assert 4 <= len(log.values) <= 6
        assert log.offsets() == list(range(100))
        assert log.keys == {b"w0"}

    run_virtually(story())


def test_a_kafka_that_takes_its_time_gets_no_more_records_for_it() -> None:
    async def story() -> None:
        log = Log()
        log.seconds = 0.03
        buffer = a_buffer(log)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            for offset in range(1_000):
                add(buffer, offset)
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.3)
            running.cancel()
        assert 7 <= len(log.values) <= 9
        assert log.offsets() == list(range(1_000))

    run_virtually(story())


def test_what_is_left_when_the_worker_ends_is_written() -> None:
    async def story() -> None:
        log = Log()
        buffer = a_buffer(log)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            await asyncio.sleep(0.15)
            add(buffer, 1)
            running.cancel()
        assert log.offsets() == [1]

    run_virtually(story())


def test_while_kafka_is_away_attempts_wait_within_the_bound_and_the_rest_is_counted() -> None:
    async def story() -> None:
        log = Log()
        log.away = True
        buffer = a_buffer(log, attempts=50)
        before = metrics.ATTEMPTS_LOST._value.get()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            for offset in range(30):
                add(buffer, offset)
            await asyncio.sleep(5)
            for offset in range(30, 90):
                add(buffer, offset)
            await asyncio.sleep(5)
            log.away = False
            await asyncio.sleep(5)
            running.cancel()
        lost = metrics.ATTEMPTS_LOST._value.get() - before
        assert log.offsets() == list(range(80))  # 30 in the record that is written again, 50 behind
        assert lost == 10

    run_virtually(story())


def test_a_record_that_kafka_took_without_a_word_is_written_again_under_the_same_number() -> None:
    async def story() -> None:
        log = Log()
        log.silent = 2
        buffer = a_buffer(log)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            for offset in range(20):
                add(buffer, offset)
            await asyncio.sleep(5)
            add(buffer, 20)
            await asyncio.sleep(5)
            running.cancel()
        assert len(log.values) == 4
        assert [w.number for w in log.written()] == [0, 0, 0, 1]
        assert log.offsets() == list(range(21))

    run_virtually(story())


def test_bytes_are_bounded_as_well_as_the_count() -> None:
    async def story() -> None:
        buffer = a_buffer(Log(), bytes_=10_000)
        before = metrics.ATTEMPTS_LOST._value.get()
        for offset in range(100):
            add(buffer, offset, excerpt=b"x" * 1_000)
        assert metrics.ATTEMPTS_LOST._value.get() - before == 94

    run_virtually(story())


def test_a_record_stays_under_the_limit_of_kafka_whatever_was_answered() -> None:
    async def story() -> None:
        log = Log()
        buffer = a_buffer(log)
        for offset in range(2_000):
            add(buffer, offset, excerpt=b"x" * 1_024)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(buffer.run())
            await asyncio.sleep(1)
            running.cancel()
        assert log.offsets() == list(range(2_000))
        assert len(log.values) == -(-2_000 // (RECORD_BYTES // (512 + 1_024)))

    run_virtually(story())
