"""The group's offsets with their metadata, and where each log starts and ends."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.broker.connection import GONE, Connection, disconnect
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, Commit

SECONDS = 10.0
MOST_MS = 10**14
"""Some thousand years: what is longer is no `timedelta` any more."""
KEPT = ("cleanup.policy", "retention.ms")


def _kept(config: Mapping[str, str | None]) -> timedelta | None:
    milliseconds = int(config.get("retention.ms") or -1)
    if "delete" not in (config.get("cleanup.policy") or "") or milliseconds < 0:
        return None
    return timedelta(milliseconds=min(milliseconds, MOST_MS))


class KafkaOffsets:
    """The `Offsets` of the workers: an admin client and a group-less consumer."""

    def __init__(self, *, connection: Connection, group: str) -> None:
        self._group = group
        self._admin = AIOKafkaAdminClient(**connection.options())
        self._consumer = AIOKafkaConsumer(
            **connection.options(), group_id=None, isolation_level="read_committed"
        )

    async def start(self) -> None:
        """Connect. Raises BrokerGoneError."""
        try:
            async with asyncio.timeout(SECONDS):
                await self._admin.start()
                await self._consumer.start()
        except GONE as error:
            raise BrokerGoneError(f"Kafka can't be reached: {error}") from error

    async def stop(self) -> None:
        """Disconnect, within a second or so."""
        await disconnect(self._consumer, self._admin)

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        """Return the group's offsets with their metadata; None where there is none."""
        try:
            async with asyncio.timeout(SECONDS):
                # aiokafka's `committed` drops the metadata, and its seek ignores an offset of 0.
                found = await self._admin.list_consumer_group_offsets(
                    self._group, partitions=[TopicPartition(*p) for p in partitions]
                )
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        commits: dict[Partition, Commit | None] = dict.fromkeys(partitions)
        for tp, entry in found.items():
            if entry.offset >= 0:
                commits[Partition(tp.topic, tp.partition)] = Commit(entry.offset, entry.metadata)
        return commits

    async def partitions(self, topics: Collection[str]) -> Sequence[Partition]:
        """Return the partitions of those of *topics* that exist."""
        try:
            async with asyncio.timeout(SECONDS):
                found = await self._admin.describe_topics(list(topics))
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        return sorted(
            Partition(topic["topic"], partition["partition"])
            for topic in found
            if not topic["error_code"]
            for partition in topic["partitions"]
        )

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        """Return start and end of each partition, `read_committed`."""
        tps = [TopicPartition(*p) for p in partitions]
        try:
            async with asyncio.timeout(SECONDS):
                starts = await self._consumer.beginning_offsets(tps)
                ends = await self._consumer.end_offsets(tps)
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        return {Partition(*tp): Bounds(starts[tp], ends[tp]) for tp in tps}

    async def retention(self, topics: Collection[str]) -> Mapping[str, timedelta | None]:
        """Return for how long each topic keeps a record; None: for ever, or we may not know."""
        asked = [
            ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(KEPT)) for topic in topics
        ]
        try:
            async with asyncio.timeout(SECONDS):
                answers = await self._admin.describe_configs(asked)
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        found: dict[str, timedelta | None] = dict.fromkeys(topics)
        for answer in answers:
            for code, _, _, topic, entries in answer.resources:
                if not code:
                    found[topic] = _kept({entry[0]: entry[1] for entry in entries})
        return found

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset at or after *moment_ms*; the end where there is none."""
        ends = await self.bounds(partitions)
        try:
            async with asyncio.timeout(SECONDS):
                found = await self._consumer.offsets_for_times(
                    {TopicPartition(*p): max(0, moment_ms) for p in partitions}
                )
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
        # Kafka may answer with a record of a transaction that is still open, behind our end.
        return {
            p: min(entry.offset, ends[p].end)
            if (entry := found[TopicPartition(*p)])
            else ends[p].end
            for p in partitions
        }
