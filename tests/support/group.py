"""Topics and members of a group, on a real Kafka, as a test of one of them needs them."""

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from aiokafka import AIOKafkaProducer

from services.broker.connection import Connection
from services.broker.member import KafkaMember, MemberOptions
from services.broker.offsets import KafkaOffsets
from services.broker.producer import KafkaProducer
from services.broker.topics import Topic, create_missing, missing
from services.kernel.event import Partition, Record
from services.kernel.ports.broker import Commit
from tests.support.eventually import eventually

LIMIT = 500
WAIT = timedelta(milliseconds=50)


def a_connection(kafka: str) -> Connection:
    return Connection(bootstrap_servers=kafka)


async def a_topic(kafka: str, *, partitions: int = 1) -> list[Partition]:
    """Make a topic of the test's own; return its partitions."""
    name = f"t{uuid.uuid4().hex[:12]}"
    topic = Topic(name, partitions, 1)
    await create_missing(a_connection(kafka), [topic], replication_factor=1)

    async def is_known() -> bool:
        return not await missing(a_connection(kafka), [topic])

    await eventually(is_known)
    return [Partition(name, number) for number in range(partitions)]


@asynccontextmanager
async def offsets_of(kafka: str, group: str) -> AsyncIterator[KafkaOffsets]:
    offsets = KafkaOffsets(connection=a_connection(kafka), group=group)
    await offsets.start()
    try:
        yield offsets
    finally:
        await offsets.stop()


@asynccontextmanager
async def producing(kafka: str) -> AsyncIterator[KafkaProducer]:
    producer = KafkaProducer(connection=a_connection(kafka), max_record_bytes=1_048_576)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def transactions(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer as somebody else's service may be."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=uuid.uuid4().hex)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@dataclass
class Joined:
    """A member, and what it has seen. It reads what is assigned from `start_at` on."""

    member: KafkaMember
    start_at: Mapping[Partition, int] | None
    owned: set[Partition] = field(default_factory=set)
    assignments: int = 0
    records: dict[Partition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    on_revoked: Callable[[], None] = lambda: None
    stopping: bool = False

    async def revoked(self, partitions: Collection[Partition]) -> None:
        self.owned.difference_update(partitions)
        self.on_revoked()

    async def assigned(self, partitions: Collection[Partition]) -> None:
        self.owned.update(partitions)
        self.assignments += 1
        if self.start_at is not None:
            for partition in partitions:
                self.member.seek(partition, self.start_at.get(partition, 0))

    async def read(self) -> None:
        while not self.stopping:
            for partition, batch in (await self.member.poll(limit=LIMIT, wait=WAIT)).items():
                self.records[partition].extend(batch.records)
                self.next_offsets[partition] = batch.next_offset

    def values(self, partition: Partition) -> list[bytes | None]:
        return [record.value for record in self.records[partition]]


def a_member(
    kafka: str, group: str, *topics: str, instance: str = "w0", session_timeout: float = 6.0
) -> KafkaMember:
    options = MemberOptions(
        group=group,
        topics=topics,
        instance=instance,
        session_timeout=session_timeout,
        rebalance_timeout=10.0,
        start_timeout=10.0,
        fetch_max_wait_ms=50,
        fetch_max_bytes=16_777_216,
        max_partition_fetch_bytes=524_288,
    )
    return KafkaMember(connection=a_connection(kafka), options=options)


@asynccontextmanager
async def joined(
    kafka: str,
    group: str,
    *topics: str,
    instance: str = "w0",
    start_at: Mapping[Partition, int] | None = MappingProxyType({}),
    session_timeout: float = 6.0,
) -> AsyncIterator[Joined]:
    """Join, poll in the background until the block ends, stop. None to start_at: never seek."""
    member = a_member(kafka, group, *topics, instance=instance, session_timeout=session_timeout)
    joined = Joined(member, start_at)
    await joined.member.start(joined)
    reading = asyncio.create_task(joined.read())
    try:
        await eventually(lambda: joined.owned or reading.done(), within=15)
        yield joined
    finally:
        joined.stopping = True
        await asyncio.wait([reading])  # a poll is never cancelled
        await joined.member.stop()
    reading.result()


async def committed(kafka: str, group: str, partitions: list[Partition]) -> list[Commit | None]:
    async with offsets_of(kafka, group) as offsets:
        found = await offsets.committed(partitions)
    return [found[partition] for partition in partitions]
