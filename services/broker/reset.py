"""Moving the group's offsets by hand: the replay of everything, as `kafka-consumer-groups` does it.

What is committed here has empty metadata, and ours never has: that is how a worker knows that a person
moved the offset, and marks what it sends again.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, UnknownMemberIdError
from aiokafka.structs import OffsetAndMetadata

from services.broker.connection import GONE, Connection, disconnect
from services.kernel.errors import BrokerGoneError, Fault, FaultsError, GroupInUseError
from services.kernel.event import Partition

SECONDS = 30.0
_CHOSEN = re.compile(r"([\w.-]+)(?::(\d+(?:,\d+)*))?\Z", re.ASCII)
"""A topic, or some of its partitions: as `kafka-consumer-groups --topic` takes them."""


class Moved(NamedTuple):
    """One partition's offset."""

    partition: Partition
    before: int | None
    """None: the group had committed none."""
    after: int
    note: str | None
    """Where what was asked for lies outside of the log: what was taken in its place, and why."""


class Target(NamedTuple):
    """Where to; one of the three, or the beginning where all are None."""

    timestamp_ms: int | None = None
    offset: int | None = None


async def reset(
    connection: Connection, *, group: str, topics: Sequence[str], target: Target, dry_run: bool
) -> list[Moved]:
    """Move the group's offsets of *topics*; with *dry_run* only say what would be.

    Each of *topics* is a name, or `name:0,2` for some of its partitions. A time after the last record
    is the end; an offset outside of a partition its nearest end. Raises FaultsError for what isn't
    there, GroupInUseError while workers are members, BrokerGoneError.
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
                moves = {tp: OffsetAndMetadata(to.offset, "") for tp, to in after.items()}
                await consumer.commit(moves)
    except (CommitFailedError, UnknownMemberIdError) as error:
        raise GroupInUseError(
            f"group {group} has members: stop all dispatchers first, and wait until their session"
            " has timed out (10 s)"
        ) from error
    except GONE as error:
        raise BrokerGoneError(f"{type(error).__name__}: {error}") from error
    finally:
        await disconnect(consumer, admin)
    return [
        Moved(Partition(*tp), _committed(before[tp].offset if tp in before else -1), *after[tp])
        for tp in tps
    ]


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    """Return what *topics* name. Raises FaultsError with everything that isn't there."""
    faults: list[Fault] = []
    chosen: dict[str, set[int]] = {}  # no number: all of them
    for text in topics:
        if (match := _CHOSEN.match(text)) is None:
            faults.append(
                _fault(f"{text!r} is not a topic: write NAME, or NAME:0,2 for partitions")
            )
        else:
            numbers = chosen.setdefault(match[1], set())
            numbers.update(map(int, match[2].split(",")) if match[2] else ())
    found = []
    for topic in await admin.describe_topics(list(chosen)) if chosen else ():
        name = topic["topic"]
        if topic["error_code"]:
            faults.append(_fault(f"no topic {name}"))
            continue
        there = {partition["partition"] for partition in topic["partitions"]}
        if missing := sorted(chosen[name] - there):
            message = f"{name} has partitions 0 to {max(there)}, no {', '.join(map(str, missing))}"
            faults.append(_fault(message))
        found += [TopicPartition(name, number) for number in (chosen[name] or there)]
    if faults:
        raise FaultsError("No offset was moved", faults)
    return sorted(found)


class _To(NamedTuple):
    offset: int
    note: str | None = None


async def _wanted(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition], target: Target
) -> Mapping[TopicPartition, _To]:
    starts = await consumer.beginning_offsets(tps)
    ends = await consumer.end_offsets(tps)
    if target.offset is not None:
        return {tp: _nearest(target.offset, starts[tp], ends[tp]) for tp in tps}
    if target.timestamp_ms is None:
        return {tp: _To(starts[tp]) for tp in tps}
    found = await consumer.offsets_for_times(dict.fromkeys(tps, target.timestamp_ms))
    return {
        tp: _To(found[tp].offset)
        if found.get(tp) is not None
        else _To(ends[tp], "the end: no record is from then or later")
        for tp in tps
    }


def _nearest(offset: int, start: int, end: int) -> _To:
    if offset < start:
        return _To(start, f"the start: {offset} is no longer in the log")
    if offset > end:
        return _To(end, f"the end: offset {offset} doesn't exist yet")
    return _To(offset)


def _committed(offset: int) -> int | None:
    return offset if offset >= 0 else None


def _fault(message: str) -> Fault:
    return Fault("unknown", message, parameter="--topic")
