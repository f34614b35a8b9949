"""A member of the consumer group: what it reads, what it commits, and when it may not."""

import asyncio
from collections.abc import Collection

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.structs import OffsetAndMetadata

from services.broker.connection import Connection
from services.kernel.errors import BrokerGoneError, CommitRefusedError, MembershipLostError
from services.kernel.event import Partition
from services.kernel.ports.broker import Commit
from tests.support.cluster import free_port
from tests.support.eventually import eventually
from tests.support.group import (
    LIMIT,
    WAIT,
    Joined,
    a_member,
    a_topic,
    committed,
    joined,
    offsets_of,
    producing,
    transactions,
)

pytestmark = pytest.mark.timeout(90)

LONGEST = "v1|7|5||" + "x" * 4088
"""As much metadata as Kafka takes."""


async def test_a_commit_comes_back_with_its_offset_and_its_metadata(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=3)
    topic = partitions[0].topic
    commits = {partitions[0]: Commit(0, "v1|7|0||"), partitions[1]: Commit(5, LONGEST)}
    async with joined(kafka, topic, topic) as worker:
        await worker.member.commit(commits)
        expected = [*commits.values(), None]
        assert await committed(kafka, topic, partitions) == expected
    assert await committed(kafka, topic, partitions) == expected


async def test_a_reset_by_a_person_leaves_empty_metadata(kafka: str) -> None:
    """As `kafka-consumer-groups --reset-offsets` writes it, while the group has no member."""
    (partition,) = await a_topic(kafka)
    group, tp = partition.topic, TopicPartition(*partition)
    person = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await person.start()
    try:
        person.assign([tp])
        await person.commit({tp: OffsetAndMetadata(42, "")})
    finally:
        await person.stop()
    assert await committed(kafka, group, [partition]) == [Commit(42, "")]


async def test_a_member_that_has_left_commits_nothing(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    group = partition.topic
    async with joined(kafka, group, partition.topic) as worker:
        await worker.member.commit({partition: Commit(1, "mine")})
    with pytest.raises(CommitRefusedError):
        await worker.member.commit({partition: Commit(2, "late")})
    assert await committed(kafka, group, [partition]) == [Commit(1, "mine")]


async def test_a_partition_that_moved_is_not_committed_by_its_owner_before(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=2)
    group = topic = partitions[0].topic
    async with joined(kafka, group, topic, instance="w0") as first:
        assert first.owned == set(partitions)
        async with joined(kafka, group, topic, instance="w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
            (mine,), (moved,) = first.owned, second.owned
            with pytest.raises(CommitRefusedError):
                await first.member.commit({moved: Commit(9, "late")})
            await first.member.commit({mine: Commit(1, "first")})
            await second.member.commit({moved: Commit(2, "second")})
    assert await committed(kafka, group, [mine, moved]) == [Commit(1, "first"), Commit(2, "second")]


async def test_a_worker_replaced_by_its_restart_commits_nothing_any_more(kafka: str) -> None:
    """The process before may hang on, unaware: its generation is over at once."""
    (partition,) = await a_topic(kafka)
    group = topic = partition.topic
    # It learns of its end from the answer to a heartbeat, so here only after the test.
    async with (
        joined(kafka, group, topic, session_timeout=60) as before,
        joined(kafka, group, topic, session_timeout=60) as restarted,
    ):
        with pytest.raises(CommitRefusedError):
            await before.member.commit({partition: Commit(9, "late")})
        assert restarted.owned == {partition}
    assert await committed(kafka, group, [partition]) == [None]


async def test_a_restart_within_the_session_moves_nobody_elses_partitions(kafka: str) -> None:
    partitions = await a_topic(kafka, partitions=2)
    group = topic = partitions[0].topic
    seconds = 15.0  # a busy machine is back within it as well
    async with joined(kafka, group, topic, instance="w0", session_timeout=seconds) as stays:
        async with joined(kafka, group, topic, instance="w1", session_timeout=seconds) as stopped:
            await eventually(lambda: len(stays.owned) == len(stopped.owned) == 1, within=20)
            theirs, before = set(stopped.owned), stays.assignments
        async with joined(kafka, group, topic, instance="w1", session_timeout=seconds) as back:
            assert back.owned == theirs
    assert stays.assignments == before


async def test_topics_that_were_added_or_removed_between_two_starts_are_read_or_not(
    kafka: str,
) -> None:
    (one,), (two,) = await a_topic(kafka), await a_topic(kafka)
    seconds = 6.0
    async with joined(kafka, one.topic, one.topic, session_timeout=seconds) as worker:
        assert worker.owned == {one}
    async with joined(kafka, one.topic, one.topic, two.topic, session_timeout=seconds) as worker:
        await eventually(lambda: two in worker.owned)
        # What it owned under the old topics moves when that session has ended.
        await eventually(lambda: worker.owned == {one, two}, within=20)
    async with joined(kafka, one.topic, two.topic, session_timeout=seconds) as worker:
        await eventually(lambda: worker.owned == {two}, within=20)


async def test_partitions_that_are_added_are_had_within_seconds(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    topic = partition.topic
    async with joined(kafka, topic, topic) as worker:
        assert worker.owned == {partition}
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(total_count=3)})
        await admin.close()
        await eventually(lambda: len(worker.owned) == 3, within=20)


async def test_nothing_is_read_of_a_partition_before_it_is_sought(kafka: str) -> None:
    """By itself the client begins where the group stands; what is settled above isn't known yet."""
    partitions = await a_topic(kafka, partitions=2)
    sought, unsought = partitions
    group = topic = sought.topic
    await fill(kafka, partitions, count=40)
    async with joined(kafka, group, topic) as worker:
        await worker.member.commit(dict.fromkeys(partitions, Commit(1, "v1|7|1||")))
    async with joined(kafka, group, topic, start_at=None) as worker:
        worker.member.seek(sought, 2)
        await eventually(lambda: worker.records[sought])
        assert worker.records[sought][0].position.offset == 2
        assert unsought not in worker.records
        worker.member.seek(unsought, 0)
        await eventually(lambda: worker.records[unsought])
        assert worker.records[unsought][0].position.offset == 0


async def test_a_partition_that_the_group_does_not_know_waits_until_it_is_sought(
    kafka: str,
) -> None:
    (partition,) = await a_topic(kafka)
    await fill(kafka, [partition], count=1)
    async with joined(kafka, partition.topic, partition.topic, start_at=None) as worker:
        assert await worker.member.poll(limit=LIMIT, wait=WAIT) == {}
        worker.member.seek(partition, 0)
        await eventually(lambda: worker.values(partition) == [b"0"])


async def fill(kafka: str, partitions: Collection[Partition], *, count: int) -> None:
    """Produce until each partition has a record; how many it has is the keys' affair."""
    async with producing(kafka) as producer:
        topic = next(iter(partitions)).topic
        found = await asyncio.gather(
            *(producer.produce(topic, key=b"%d" % n, value=b"%d" % n) for n in range(count))
        )
    assert {position.partition for position in found} == set(partitions)


async def test_a_member_reads_from_where_it_seeks_also_from_offset_0(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    await fill(kafka, [partition], count=5)
    async with joined(kafka, "from-0", partition.topic) as worker:
        await eventually(lambda: worker.next_offsets.get(partition) == 5)
        assert worker.values(partition) == [b"0", b"1", b"2", b"3", b"4"]
    start = {partition: 3}
    async with joined(kafka, "from-3", partition.topic, start_at=start) as worker:
        await eventually(lambda: worker.next_offsets.get(partition) == 5)
        assert [record.position.offset for record in worker.records[partition]] == [3, 4]


async def test_a_paused_partition_goes_on_where_it_was_paused(kafka: str) -> None:
    paused, flowing = await a_topic(kafka, partitions=2)
    group = topic = paused.topic
    await fill(kafka, [paused, flowing], count=40)
    async with offsets_of(kafka, group) as offsets:
        ends = {p: b.end for p, b in (await offsets.bounds([paused, flowing])).items()}
    async with joined(kafka, group, topic) as worker:
        await eventually(lambda: worker.next_offsets == ends)
        worker.member.pause([paused])
        await fill(kafka, [paused, flowing], count=40)
        await eventually(lambda: worker.next_offsets[flowing] == 2 * ends[flowing])
        assert worker.next_offsets[paused] == ends[paused]
        worker.member.resume([paused])
        await eventually(lambda: worker.next_offsets[paused] == 2 * ends[paused])
    offsets_read = [record.position.offset for record in worker.records[paused]]
    assert offsets_read == list(range(2 * ends[paused]))


async def test_a_record_is_read_as_it_was_written(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    headers = [("type", b"plan.created"), ("empty", b"")]
    async with producing(kafka) as producer:
        written = await producer.produce(
            partition.topic, key=b"project:plan", value=b"\x00\xff", headers=headers
        )
        await producer.produce(partition.topic, key=b"k", value=None)
    async with joined(kafka, partition.topic, partition.topic) as worker:
        await eventually(lambda: len(worker.records[partition]) == 2)
    first, second = worker.records[partition]
    assert (first.position, first.key, first.value) == (written, b"project:plan", b"\x00\xff")
    assert list(first.headers) == headers
    assert first.timestamp_ms > 1_700_000_000_000
    assert (second.key, second.value, list(second.headers)) == (b"k", None, [])


async def test_only_what_was_committed_is_read_and_the_position_is_past_what_was_not(
    kafka: str,
) -> None:
    """Markers and aborted records take offsets: last offset + 1 would read them over and over."""
    (partition,) = await a_topic(kafka)
    topic = partition.topic
    async with transactions(kafka) as producer:
        async with producer.transaction():
            await producer.send(topic, b"kept", partition=0)  # offset 0, its marker 1
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"taken back", partition=0)  # 2
        await producer.abort_transaction()  # 3
    async with joined(kafka, topic, topic) as worker:
        await eventually(lambda: worker.next_offsets.get(partition) == 4)
        async with transactions(kafka) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"open", partition=0)  # 4
            async with producing(kafka) as other:
                after = await other.produce(topic, key=None, value=b"behind an open one")  # 5
            async with offsets_of(kafka, topic) as offsets:
                (bounds,) = (await offsets.bounds([partition])).values()
            assert (after.offset, bounds.end) == (5, 4), "an open transaction ends the log"
            assert worker.values(partition) == [b"kept"]
            await producer.commit_transaction()  # 6
        await eventually(lambda: worker.next_offsets[partition] == 7)
        async with transactions(kafka) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(topic, b"taken back as the last", partition=0)  # 7
            await producer.abort_transaction()  # 8
        await eventually(lambda: worker.next_offsets[partition] == 9)
    assert worker.values(partition) == [b"kept", b"open", b"behind an open one"]


async def test_an_error_in_a_rebalance_is_not_swallowed(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    member = a_member(kafka, partition.topic, partition.topic)

    class Failing(Joined):
        async def assigned(self, partitions: Collection[Partition]) -> None:
            await super().assigned(partitions)
            raise ZeroDivisionError("a bug of ours")

    worker = Failing(member, None)
    await member.start(worker)
    try:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(worker.read(), 15)
    finally:
        await member.stop()


async def test_stopping_twice_is_fine_and_calls_no_listener(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    async with joined(kafka, partition.topic, partition.topic) as worker:
        pass
    await worker.member.stop()
    assert worker.owned == {partition}


async def test_a_member_that_was_stopped_is_polled_no_more(kafka: str) -> None:
    (partition,) = await a_topic(kafka)
    async with joined(kafka, partition.topic, partition.topic) as worker:
        pass
    with pytest.raises(MembershipLostError):
        await worker.member.poll(limit=LIMIT, wait=WAIT)


async def test_without_kafka_joining_ends_with_the_time_for_it() -> None:
    member = a_member(f"127.0.0.1:{free_port()}", "g", "t")
    member._options.start_timeout = 2.0
    with pytest.raises(BrokerGoneError, match="Kafka can't be reached"):
        await member.start(Joined(member, None))
    await member.stop()


async def test_what_the_group_refuses_is_tried_again_until_the_time_for_joining_ends(
    kafka: str,
) -> None:
    (partition,) = await a_topic(kafka)
    member = a_member(
        kafka, partition.topic, partition.topic, session_timeout=0.5
    )  # less than Kafka allows
    member._options.start_timeout = 2.5
    with pytest.raises(BrokerGoneError, match="InvalidSessionTimeout"):
        await member.start(Joined(member, None))
    await member.stop()


def test_a_connection_shows_no_password() -> None:
    secret = Connection(bootstrap_servers="kafka:9092", sasl_password="hidden")
    assert repr(secret) == "<Connection PLAINTEXT kafka:9092>"
