"""One member of the consumer group."""

import asyncio
import math
import zlib
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from services.broker.connection import GONE, Connection, finished, stopped
from services.broker.records import records_of
from services.kernel.errors import BrokerGoneError, CommitRefusedError, MembershipLostError
from services.kernel.event import Batch, Partition
from services.kernel.ports.broker import Commit, MemberListener
from services.kernel.value import value

log = structlog.get_logger()

COMMIT_SECONDS = 1.0
STOP_SECONDS = 5.0
ABORT_SECONDS = 1.0
UNSOUGHT_SECONDS = 0.02
PASSED_SECONDS = 0.5
METADATA_SECONDS = 5.0
"""Partitions that were added, and a topic that was deleted and made anew within a moment, are noticed
after so long: nothing else says so, and aiokafka looks once in five minutes."""


@value
class MemberOptions:
    """How a member joins and fetches; times in seconds."""

    group: str
    topics: Sequence[str]
    instance: str
    """The same after a restart, so that nobody else's partitions move (`group.instance.id`)."""
    session_timeout: float
    rebalance_timeout: float
    start_timeout: float
    fetch_max_wait_ms: int
    fetch_max_bytes: int
    max_partition_fetch_bytes: int


class KafkaMember:
    """The `Member` of the workers."""

    def __init__(self, *, connection: Connection, options: MemberOptions) -> None:
        self._connection = connection
        self._options = options
        self._consumer = self._new_consumer()
        self._sought: set[TopicPartition] = set()
        self._told_of: dict[TopicPartition, int] = {}
        """Positions that were handed out, or sought."""
        self._look_at = 0.0
        self._heard_at = -math.inf
        self._failure: BaseException | None = None
        self._stopped = False

    async def start(self, listener: MemberListener) -> None:
        """Join. Raises BrokerGoneError after the time limit for starting."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.start_timeout
        while True:
            self._consumer.subscribe(list(self._options.topics), listener=_Listener(self, listener))
            try:
                async with asyncio.timeout_at(until):
                    await self._consumer.start()
            except GONE as error:
                if loop.time() >= until - 1:
                    raise BrokerGoneError(f"Kafka can't be reached: {error}") from error
                log.info("waiting_for_kafka", error=str(error))
                await self._close()
                await asyncio.sleep(1)
                self._consumer = self._new_consumer()  # one that began to start can't do it again
            else:
                return

    async def poll(self, *, limit: int, wait: timedelta) -> Mapping[Partition, Batch]:
        """Return what has arrived, maybe nothing."""
        if self._failure is not None:
            raise self._failure
        try:
            found = await self._consumer.getmany(
                timeout_ms=int(wait.total_seconds() * 1000), max_records=limit
            )
        except NoOffsetForPartitionError:
            # Said of a new partition until it is sought, which is under way.
            await asyncio.sleep(UNSOUGHT_SECONDS)
            return {}
        except OffsetOutOfRangeError as error:
            if self._sought.isdisjoint(error.args[0]):
                # The group's offset is no longer in the log, and aiokafka reads from there until it
                # is sought: whoever seeks knows better.
                await asyncio.sleep(UNSOUGHT_SECONDS)
                return {}
            raise MembershipLostError(f"{type(error).__name__}: {error}") from error
        except ConsumerStoppedError as error:
            raise MembershipLostError("the consumer was stopped") from error
        except GONE as error:
            raise MembershipLostError(f"{type(error).__name__}: {error}") from error
        batches = {}
        for tp, records in found.items():
            position = await self._position(tp)
            if position is not None:
                partition = Partition(tp.topic, tp.partition)
                batches[partition] = Batch(records_of(partition, records), position)
                self._told_of[tp] = position
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._look_at = now + PASSED_SECONDS
            batches |= await self._passed(found.keys())
        return batches

    async def _passed(self, found: Collection[TopicPartition]) -> dict[Partition, Batch]:
        """Return where nothing but markers and aborted records were passed: aiokafka tells of none."""
        batches = {}
        for tp in self._sought.difference(found):
            position = await self._position(tp)
            if position is not None and position > self._told_of.get(tp, position):
                batches[Partition(tp.topic, tp.partition)] = Batch((), position)
                self._told_of[tp] = position
        return batches

    async def _position(self, tp: TopicPartition) -> int | None:
        """Return what is read next; None for what is not sought, or was revoked meanwhile."""
        if tp not in self._sought:
            return None
        try:
            return int(await self._consumer.position(tp))
        except (IllegalStateError, KafkaError):
            return None  # whoever owns it next reads it

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        """Commit within a second, or raise CommitRefusedError or BrokerGoneError."""
        if self._stopped:  # aiokafka would open a connection again, and never close it
            raise CommitRefusedError("this member has left the group")
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(commit.offset, commit.metadata)
            for partition, commit in commits.items()
        }
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            raise CommitRefusedError(f"{type(error).__name__}: {error}") from error
        except GONE as error:
            raise BrokerGoneError(f"{type(error).__name__}: {error}") from error

    def seek(self, partition: Partition, offset: int) -> None:
        """Read *partition* from *offset* on."""
        tp = TopicPartition(*partition)
        if tp in self._consumer.assignment():
            self._consumer.seek(tp, offset)
            self._sought.add(tp)
            self._told_of[tp] = offset

    def silence(self) -> float:
        """Return for how many seconds at most the group hasn't heard of this member."""
        return asyncio.get_running_loop().time() - self._heard_at

    def share(self) -> float:
        """Return which part of all partitions of its topics this member has."""
        known = (self._consumer.partitions_for_topic(topic) for topic in self._options.topics)
        total = sum(len(partitions) for partitions in known if partitions)
        return len(self._consumer.assignment()) / total if total else 0.0

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch no more of *partitions*."""
        self._consumer.pause(*self._mine(partitions))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch *partitions* again."""
        self._consumer.resume(*self._mine(partitions))

    async def stop(self) -> None:
        """Close within a few seconds."""
        if self._stopped:
            return
        self._stopped = True
        await self._close()

    def _joined(self) -> None:
        """Take note of each heartbeat that is answered from now on; to join counts as one.

        aiokafka keeps to itself when it last heard of the group.
        """
        self._heard_at = asyncio.get_running_loop().time()
        coordinator = self._consumer._coordinator  # noqa: SLF001 - no other way
        beat = type(coordinator)._do_heartbeat  # noqa: SLF001

        async def noted() -> bool:
            began = (
                asyncio.get_running_loop().time()
            )  # the group may have heard it as early as that
            answered: bool = await beat(coordinator)
            if answered:
                self._heard_at = began
            return answered

        coordinator._do_heartbeat = noted  # noqa: SLF001

    def _new_consumer(self) -> AIOKafkaConsumer:
        options = self._options
        return AIOKafkaConsumer(
            **self._connection.options(),
            group_id=options.group,
            group_instance_id=_instance_id(options),
            client_id=f"webhooks-{options.instance}",
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=int(options.session_timeout * 1000),
            heartbeat_interval_ms=int(options.session_timeout * 1000 / 4),
            rebalance_timeout_ms=int(options.rebalance_timeout * 1000),
            metadata_max_age_ms=int(METADATA_SECONDS * 1000),
            fetch_max_wait_ms=options.fetch_max_wait_ms,
            fetch_max_bytes=options.fetch_max_bytes,
            max_partition_fetch_bytes=options.max_partition_fetch_bytes,
        )

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await stopped(self._consumer)
        except GONE as error:
            log.warning("consumer_stop", error=f"{type(error).__name__}: {error}")
            await self._abort()

    async def _abort(self) -> None:
        """End what a stop that took too long did not come to.

        A rebalance waits for all members of the group, and a poll for the rebalance: for ever, once
        the stop has ended what takes part in it for this member.
        """
        consumer = self._consumer
        consumer._subscription.abort_waiters(ConsumerStoppedError())  # noqa: SLF001 - no other way
        ends = [consumer._client.close]  # noqa: SLF001
        if consumer._fetcher is not None:  # noqa: SLF001
            ends.insert(0, consumer._fetcher.close)  # noqa: SLF001
        if consumer._coordinator is not None:  # noqa: SLF001
            ends.insert(0, consumer._coordinator._stop_heartbeat_task)  # noqa: SLF001
        for end in ends:
            with suppress(*GONE):
                async with asyncio.timeout(ABORT_SECONDS):
                    await finished(end())

    def _mine(self, partitions: Collection[Partition]) -> list[TopicPartition]:
        assigned = self._consumer.assignment()
        return [tp for p in partitions if (tp := TopicPartition(*p)) in assigned]

    async def _told(
        self, call: Callable[[Collection[Partition]], Coroutine[Any, Any, None]], tps: Iterable[Any]
    ) -> None:
        """Call the listener; what it raises ends the next poll, where aiokafka would swallow it."""
        try:
            await call([Partition(tp.topic, tp.partition) for tp in tps])
        except BaseException as error:
            self._failure = error
            raise


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, member: KafkaMember, listener: MemberListener) -> None:
        self._member = member
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        revoked = list(revoked)
        self._member._sought.difference_update(revoked)  # noqa: SLF001 - its own listener
        await self._member._told(self._listener.revoked, revoked)  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._member._joined()  # noqa: SLF001 - its own listener
        await self._member._told(self._listener.assigned, assigned)  # noqa: SLF001


def _instance_id(options: MemberOptions) -> str:
    """Return the `group.instance.id`, which changes with the topics.

    A member that comes back under its id gets its partitions back without anybody looking at what it
    subscribes to: a topic that was added would not be read, and one that was removed ends aiokafka.
    """
    topics = " ".join(sorted(options.topics))
    return f"{options.instance}.{zlib.crc32(topics.encode()):08x}"
