"""Records stand where the producer says that they were written."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.broker.producer import KafkaProducer
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.event import Position
from tests.support.cluster import free_port
from tests.support.eventually import eventually
from tests.support.group import a_connection, a_topic, joined, producing

MAX_RECORD = 1_048_576


async def test_a_record_stands_where_the_producer_says(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=4)
    topic = partitions[0].topic
    async with producing(kafka) as producer:
        said = await asyncio.gather(
            *(producer.produce(topic, key=b"%d" % (n % 9), value=b"%d" % n) for n in range(60))
        )
    async with joined(kafka, topic, topic) as worker:
        await eventually(lambda: sum(map(len, worker.records.values())) == 60)
    found = {
        record.position: (record.key, record.value)
        for records in worker.records.values()
        for record in records
    }
    assert found == {where: (b"%d" % (n % 9), b"%d" % n) for n, where in enumerate(said)}


async def test_records_of_one_key_stand_in_one_partition_in_their_order(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=8)
    topic = partitions[0].topic
    async with producing(kafka) as producer:
        said = await asyncio.gather(
            *(producer.produce(topic, key=b"project:plan", value=b"%d" % n) for n in range(50))
        )
    (partition,) = {position.partition for position in said}
    assert said == [Position(partition, n) for n in range(50)]


async def test_a_record_without_key_and_value_is_written_too(kafka: str) -> None:
    """The quarantine keeps such a record, with the reason in its headers."""
    (partition,) = await a_topic(kafka)
    headers = [("webhooks-reason", b"null")]
    async with producing(kafka) as producer:
        said = await producer.produce(partition.topic, key=None, value=None, headers=headers)
    async with joined(kafka, partition.topic, partition.topic) as worker:
        await eventually(lambda: worker.records[partition])
    (record,) = worker.records[partition]
    assert (record.position, record.key, record.value) == (said, None, b"")
    assert list(record.headers) == headers


async def test_the_largest_event_is_taken_and_what_kafka_never_takes_is_refused(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        most = {"max.message.bytes": str(2 * MAX_RECORD)}
        resource = ConfigResource(ConfigResourceType.TOPIC, partition.topic, most)
        await admin.alter_configs([resource])
    finally:
        await admin.close()
    async with producing(kafka) as producer:
        await producer.produce(partition.topic, key=b"k", value=b"x" * MAX_RECORD)
        with pytest.raises(BrokerRefusedError, match=f"too large for {partition.topic}"):
            await producer.produce(partition.topic, key=b"k", value=b"x" * 2 * MAX_RECORD)


async def test_without_kafka_a_producer_says_so() -> None:
    connection = a_connection(f"127.0.0.1:{free_port()}")
    producer = KafkaProducer(connection=connection, max_record_bytes=MAX_RECORD)
    with pytest.raises(BrokerGoneError, match="Kafka can't be reached"):
        await producer.start()
    await producer.stop()
