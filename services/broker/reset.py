"""Moving the group's offsets by hand: the replay of everything, as `kafka-consumer-groups` does it.

What is committed here has empty metadata, and ours never has: that is how a worker knows that a person
moved the offset, and marks what it sends again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata

from services.broker.connection import GONE, Connection
from services.kernel.errors import BrokerGoneError, GroupInUseError
from services.kernel.event import Partition

SECONDS = 30.0


class Moved(NamedTuple):
    """One partition's offset."""

    partition: Partition
    before: int | None
    """None: the group had committed none."""
    after: int


class Target(NamedTuple):
    """Where to; one of the three, or the beginning where all are None."""

    timestamp_ms: int | None = None
    offset: int | None = None


async def reset(
    connection: Connection, *, group: str, topics: Sequence[str], target: Target, dry_run: bool
) -> list[Moved]:
    """Move the group's offsets of all partitions of *topics*; with *dry_run* only say what would be.

    A time after the last record is the end; an offset outside of a partition its nearest end. Raises
    GroupInUseError while workers are members, BrokerGoneError.
    """
    admin = AIOKafkaAdminClient(**connection.options())
    consumer = AIOKafkaConsumer(
        **connection.options(),
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    try:
        async with asyncio.timeout(SECONDS):
            await admin.start()
            await consumer.start()
            tps = await _partitions(admin, topics)
            before = await admin.list_consumer_group_offsets(group, partitions=tps)
            after = await _wanted(consumer, tps, target)
            if not dry_run:
                consumer.assign(tps)
                await consumer.commit({tp: OffsetAndMetadata(at, "") for tp, at in after.items()})
    except (CommitFailedError, UnknownMemberIdError) as error:
        raise GroupInUseError(
            f"group {group} has members: stop all dispatchers first, and wait until their session"
            " has timed out (10 s)"
        ) from error
    except GONE as error:
        raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()
        await admin.close()
    return [
        Moved(Partition(*tp), _committed(before[tp].offset if tp in before else -1), after[tp])
        for tp in tps
    ]


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    found = await admin.describe_topics(list(topics))
    unknown = [topic["topic"] for topic in found if topic["error_code"]]
    if unknown:
        raise BrokerGoneError(f"no topic {', '.join(unknown)}")
    return sorted(
        TopicPartition(topic["topic"], partition["partition"])
        for topic in found
        for partition in topic["partitions"]
    )


async def _wanted(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition], target: Target
) -> Mapping[TopicPartition, int]:
    starts = await consumer.beginning_offsets(tps)
    ends = await consumer.end_offsets(tps)
    if target.offset is not None:
        return {tp: min(max(target.offset, starts[tp]), ends[tp]) for tp in tps}
    if target.timestamp_ms is None:
        return {tp: int(starts[tp]) for tp in tps}
    found = await consumer.offsets_for_times(dict.fromkeys(tps, target.timestamp_ms))
    return {tp: found[tp].offset if found.get(tp) is not None else ends[tp] for tp in tps}


def _committed(offset: int) -> int | None:
    return offset if offset >= 0 else None
