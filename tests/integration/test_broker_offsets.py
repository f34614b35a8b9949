"""Where each log starts and ends, and what the group has committed."""

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.broker.offsets import KafkaOffsets
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds
from tests.support.cluster import free_port
from tests.support.group import a_connection, a_topic, offsets_of, producing


async def fill(kafka: str, partition: Partition, count: int) -> None:
    async with producing(kafka) as producer:
        for _ in range(count):
            await producer.produce(partition.topic, key=None, value=b"x")


async def delete_below(kafka: str, partition: Partition, offset: int) -> None:
    """Delete records, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(*partition): RecordsToDelete(offset)})
    finally:
        await admin.close()


async def test_a_log_starts_at_0_and_ends_behind_its_last_record(kafka: str) -> None:
    (empty,), (filled,) = await a_topic(kafka), await a_topic(kafka)
    await fill(kafka, filled, 3)
    async with offsets_of(kafka, "g") as offsets:
        found = await offsets.bounds([empty, filled])
    assert found == {empty: Bounds(0, 0), filled: Bounds(0, 3)}


async def test_a_log_starts_where_retention_left_it(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    await fill(kafka, partition, 5)
    await delete_below(kafka, partition, 4)
    async with offsets_of(kafka, "g") as offsets:
        assert await offsets.bounds([partition]) == {partition: Bounds(4, 5)}
        await delete_below(kafka, partition, 5)
        assert await offsets.bounds([partition]) == {partition: Bounds(5, 5)}


async def test_a_group_that_never_was_has_committed_nothing(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=2)
    async with offsets_of(kafka, partitions[0].topic) as offsets:
        assert await offsets.committed(partitions) == dict.fromkeys(partitions)
        assert await offsets.committed([]) == {}


async def test_without_kafka_nobody_waits_for_ever() -> None:
    offsets = KafkaOffsets(connection=a_connection(f"127.0.0.1:{free_port()}"), group="g")
    with pytest.raises(BrokerGoneError, match="Kafka can't be reached"):
        await offsets.start()
    await offsets.stop()
