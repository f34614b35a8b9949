"""Topics that must exist: which are missing, and made as the design says."""

import re
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.broker.connection import Connection
from services.broker.topics import TOPICS, Topic, all_exist, create_missing, missing, wanted
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from tests.support.cluster import free_port
from tests.support.eventually import eventually

ROW = re.compile(r"^\| `([a-z.]+)` \|.*\| (?:(\d+) days[^|]*|(compacted)) \|$", re.MULTILINE)


@pytest.fixture
def connection(kafka: str) -> Connection:
    return Connection(bootstrap_servers=kafka)


def a_topic(partitions: int = 1, retention_days: int | None = 7) -> Topic:
    return Topic(f"t{uuid.uuid4().hex[:10]}", partitions, retention_days)


async def made(connection: Connection, *topics: Topic) -> None:
    """Make topics, and wait until every broker knows them."""
    assert await create_missing(connection, topics, replication_factor=1) == list(topics)

    async def are_known() -> bool:
        return not await missing(connection, topics)

    await eventually(are_known)


async def described(kafka: str, name: str) -> tuple[int, Mapping[str, str]]:
    """Return how many partitions a topic has, and its settings."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([name])
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin.close()
    ((*_, entries),) = answers[0].resources
    return len(topic["partitions"]), {entry[0]: entry[1] for entry in entries}


def test_the_usual_topics_are_kept_as_long_as_the_design_says(shared: Path) -> None:
    rows = ROW.findall((shared / "design.md").read_text())
    assert len(rows) == 7
    expected = {name: None if compacted else int(days) for name, days, compacted in rows}
    assert {topic.name: topic.retention_days for topic in TOPICS} == expected


@pytest.mark.parametrize("usual", TOPICS, ids=lambda topic: topic.name)
async def test_a_missing_topic_is_made_with_its_partitions_and_retention(
    usual: Topic, kafka: str, connection: Connection
) -> None:
    topic = usual._replace(name=f"t{uuid.uuid4().hex[:10]}.{usual.name}")
    await made(connection, topic)
    partitions, settings = await described(kafka, topic.name)
    assert partitions == usual.partitions
    if usual.retention_days is None:
        assert settings["cleanup.policy"] == "compact"
    else:
        assert settings["cleanup.policy"] == "delete"
        assert int(settings["retention.ms"]) == usual.retention_days * 24 * 3600 * 1000


async def test_a_topic_that_exists_is_left_as_it_is(kafka: str, connection: Connection) -> None:
    topic = a_topic(partitions=3, retention_days=2)
    await made(connection, topic)
    other = topic._replace(partitions=5, retention_days=9)
    new = a_topic()
    assert await missing(connection, [other, new]) == [new]
    assert await create_missing(connection, [other, new], replication_factor=1) == [new]
    partitions, settings = await described(kafka, topic.name)
    assert (partitions, settings["retention.ms"]) == (3, str(2 * 24 * 3600 * 1000))


async def test_what_is_missing_is_told_by_name(connection: Connection) -> None:
    there, absent, another = a_topic(), a_topic(), a_topic()
    await made(connection, there)
    assert await missing(connection, [there, absent, another]) == [absent, another]
    await all_exist(connection, [there.name])
    sentence = f"no topic {absent.name}, {another.name}: `planner-webhooks migrate` creates them"
    with pytest.raises(BrokerGoneError, match=re.escape(sentence)):
        await all_exist(connection, [there.name, absent.name, another.name])


async def test_what_kafka_refuses_to_make_is_told_with_its_reason(connection: Connection) -> None:
    """`migrate` must not say "done" of a topic that isn't there."""
    good, bad = a_topic(), Topic("no such name!", 1, 7)
    with pytest.raises(BrokerRefusedError, match="no such name!: InvalidTopicError"):
        await create_missing(connection, [good, bad], replication_factor=1)

    async def only_the_good_is_there() -> bool:
        return await missing(connection, [good, bad]) == [bad]

    await eventually(only_the_good_is_there)
    with pytest.raises(BrokerRefusedError, match="InvalidReplicationFactorError"):
        await create_missing(connection, [a_topic()], replication_factor=3)


def test_a_topic_of_ones_own_is_wanted_beside_the_usual_ones() -> None:
    found = wanted(["planner.events", "acme.events"])
    assert found == [*TOPICS, Topic("acme.events", 8, 7)]


async def test_without_kafka_the_topics_are_not_called_missing() -> None:
    nowhere = Connection(bootstrap_servers=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerGoneError, match="Kafka can't be reached"):
        await missing(nowhere, TOPICS)
