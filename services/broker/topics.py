"""Topics that must exist, with their partitions and how long they keep what."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from services.broker.connection import GONE, Connection
from services.kernel.errors import BrokerGoneError, BrokerRefusedError

DAY_MS = 86_400_000
SECONDS = 30.0


class Topic(NamedTuple):
    """A topic as it is created where it is missing; one that exists is left as it is."""

    name: str
    partitions: int
    retention_days: int | None
    """None: compacted."""

    def config(self) -> dict[str, str]:
        """Return the topic's settings in Kafka."""
        if self.retention_days is None:
            return {"cleanup.policy": "compact"}
        return {"cleanup.policy": "delete", "retention.ms": str(self.retention_days * DAY_MS)}


TOPICS = (
    Topic("planner.events", 8, 7),
    Topic("planner.master", 4, 30),
    Topic("planner.positions", 8, 3),
    Topic("webhooks.attempts", 4, 3),
    Topic("webhooks.ops", 1, 30),
    Topic("webhooks.geofence", 8, None),
    Topic("webhooks.quarantine", 1, 14),
)


def wanted(names: Iterable[str]) -> list[Topic]:
    """Return the usual topics, and *names* beside them with 8 partitions and 7 days."""
    known = {topic.name for topic in TOPICS}
    return [*TOPICS, *(Topic(name, 8, 7) for name in names if name not in known)]


async def missing(connection: Connection, topics: Iterable[Topic]) -> list[Topic]:
    """Return those of *topics* that don't exist. Raises BrokerGoneError."""
    return await _topics(connection, list(topics), create=False, replication_factor=1)


async def all_exist(connection: Connection, names: Iterable[str]) -> None:
    """Return if all topics of these names exist. Raises BrokerGoneError that names the others."""
    found = await missing(connection, [Topic(name, 1, 1) for name in names])
    if found:
        names = ", ".join(topic.name for topic in found)
        raise BrokerGoneError(f"no topic {names}: `planner-webhooks migrate` creates them")


async def create_missing(
    connection: Connection, topics: Iterable[Topic], *, replication_factor: int
) -> list[Topic]:
    """Create those of *topics* that don't exist, and return them.

    Raises BrokerGoneError; BrokerRefusedError that names those that Kafka refused, and why. Those
    that somebody else created meanwhile are fine.
    """
    return await _topics(
        connection, list(topics), create=True, replication_factor=replication_factor
    )


async def _topics(
    connection: Connection, topics: list[Topic], *, create: bool, replication_factor: int
) -> list[Topic]:
    admin = AIOKafkaAdminClient(**connection.options())
    try:
        async with asyncio.timeout(SECONDS):
            await admin.start()
            existing = set(await admin.list_topics())
            found = [topic for topic in topics if topic.name not in existing]
            return await _created(admin, found, replication_factor) if create and found else found
    except GONE as error:
        raise BrokerGoneError(f"Kafka can't be reached: {error}") from error
    finally:
        await admin.close()


async def _created(
    admin: AIOKafkaAdminClient, topics: list[Topic], replication_factor: int
) -> list[Topic]:
    answer = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=topic.config())
            for topic in topics
        ]
    )
    created, refused = set(), []
    for name, code, *why in answer.topic_errors:  # aiokafka raises none of them
        error = for_code(code)
        if error is NoError:
            created.add(name)
        elif error is not TopicAlreadyExistsError:
            refused.append(f"{name}: {' '.join(filter(None, (error.__name__, *why)))}")
    if refused:
        raise BrokerRefusedError(f"Kafka did not create {'; '.join(refused)}")
    return [topic for topic in topics if topic.name in created]
