"""What workers rely on in Kafka; the log and the group of the simulation are held to the same."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from services.kernel.errors import CommitRefusedError, MembershipLostError
from services.kernel.event import Partition, Record
from services.kernel.ports.broker import Bounds, Commit, Member, Offsets, Producer
from tests.support.eventually import eventually
from tests.support.fake_kafka import FakeKafka, FakeMember, FakeOffsets, FakeProducer
from tests.support.group import a_member, a_topic, offsets_of, producing

pytestmark = pytest.mark.timeout(90)

WAIT = timedelta(milliseconds=50)


@dataclass
class Broker:
    """One of the two, with a topic of two partitions and a group of the test's own."""

    partitions: list[Partition]
    make_member: Callable[[str], Member]
    offsets: Offsets
    producer: Producer
    session_seconds: float

    async def write(self, *values: bytes) -> list[Partition]:
        """Write records one after the other; return where each went."""
        topic = self.partitions[0].topic
        return [
            (await self.producer.produce(topic, key=b"key", value=value)).partition
            for value in values
        ]

    async def committed(self) -> list[Commit | None]:
        found = await self.offsets.committed(self.partitions)
        return [found[partition] for partition in self.partitions]

    @asynccontextmanager
    async def joined(
        self, instance: str = "w0", *, start_at: Mapping[Partition, int] | None = None
    ) -> AsyncIterator["Worker"]:
        """Join, poll until the block ends, stop."""
        worker = Worker(self.make_member(instance), start_at)
        await worker.member.start(worker)
        worker.polling = asyncio.create_task(worker.poll())
        try:
            yield worker
        finally:
            await worker.end()


@dataclass
class Worker:
    """A member, what it was told and what it read. It seeks what it is assigned, where it says so."""

    member: Member
    start_at: Mapping[Partition, int] | None
    owned: set[Partition] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    read: dict[Partition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    next_offset: dict[Partition, int] = field(default_factory=dict)
    limit: int = 500
    most: int = 0
    on_revoked: Callable[[], Awaitable[None]] | None = None
    polling: asyncio.Task[None] | None = None
    stopping: bool = False

    async def revoked(self, partitions: Collection[Partition]) -> None:
        self.told.append(f"revoked {len(partitions)}")
        if self.on_revoked is not None and partitions:
            await self.on_revoked()
        self.owned.difference_update(partitions)

    async def assigned(self, partitions: Collection[Partition]) -> None:
        self.told.append(f"assigned {len(partitions)}")
        self.owned.update(partitions)
        if self.start_at is not None:
            for partition in partitions:
                self.member.seek(partition, self.start_at.get(partition, 0))

    async def poll(self) -> None:
        while not self.stopping:
            batches = await self.member.poll(limit=self.limit, wait=WAIT)
            self.most = max(self.most, sum(len(batch.records) for batch in batches.values()))
            for partition, batch in batches.items():
                self.read[partition].extend(batch.records)
                self.next_offset[partition] = batch.next_offset

    async def end(self) -> None:
        """Poll no more, and stop."""
        self.stopping = True
        if self.polling is not None:
            await asyncio.wait([self.polling], timeout=1)
        await self.member.stop()
        if self.polling is not None:
            await asyncio.wait([self.polling], timeout=10)
            assert self.polling.done(), "a poll outlasted the stop"
            # Taken here: a lost one is told of whenever the task is collected, long after its test.
            lost = self.polling.exception()
            assert lost is None or isinstance(lost, MembershipLostError), lost

    def values(self) -> list[bytes | None]:
        return sorted(record.value or b"" for records in self.read.values() for record in records)


@pytest.fixture(params=["fake", "kafka"])
async def broker(request: pytest.FixtureRequest, kafka: str) -> AsyncIterator[Broker]:
    async with AsyncExitStack() as stack:
        if request.param == "fake":
            yield a_fake()
            return
        partitions = await a_topic(kafka, partitions=2)
        group = topic = partitions[0].topic
        yield Broker(
            partitions=partitions,
            make_member=lambda instance: a_member(kafka, group, topic, instance=instance),
            offsets=await stack.enter_async_context(offsets_of(kafka, group)),
            producer=await stack.enter_async_context(producing(kafka)),
            session_seconds=6.0,
        )


def a_fake() -> Broker:
    kafka = FakeKafka({"topic": 2}, session_timeout=0.6, rebalance_timeout=5.0)
    return Broker(
        partitions=[Partition("topic", 0), Partition("topic", 1)],
        make_member=lambda instance: FakeMember(kafka, instance=instance, topics=["topic"]),
        offsets=FakeOffsets(kafka),
        producer=FakeProducer(kafka),
        session_seconds=0.6,
    )


FROM_START: Mapping[Partition, int] = {}


# Reading.


async def test_nothing_is_read_of_a_partition_before_it_is_sought(broker: Broker) -> None:
    (partition, *_) = await broker.write(b"a", b"b")
    async with broker.joined() as worker:
        await asyncio.sleep(0.3)
        assert worker.read == {}
        for owned in worker.owned:
            worker.member.seek(owned, 0)
        await eventually(lambda: worker.values() == [b"a", b"b"])
        assert worker.next_offset[partition] == len(worker.read[partition])


async def test_records_come_in_their_order_as_they_were_written_from_where_it_seeks(
    broker: Broker,
) -> None:
    (partition, *_) = set(await broker.write(*(b"%d" % n for n in range(6))))
    async with broker.joined(start_at={partition: 2}) as worker:
        await eventually(lambda: len(worker.read[partition]) == 4)
        records = worker.read[partition]
        assert [record.position.offset for record in records] == [2, 3, 4, 5]
        assert [(record.key, record.value) for record in records] == [
            (b"key", b"%d" % n) for n in range(2, 6)
        ]


async def test_a_poll_brings_no_more_than_asked_for_and_the_next_one_goes_on(
    broker: Broker,
) -> None:
    values = [b"%02d" % n for n in range(20)]
    await broker.write(*values)
    async with broker.joined() as worker:
        worker.limit = 3
        await asyncio.sleep(0.2)
        for owned in worker.owned:
            worker.member.seek(owned, 0)
        await eventually(lambda: worker.values() == values)
        assert worker.most <= 3


async def test_a_paused_partition_goes_on_where_it_was_paused(broker: Broker) -> None:
    (partition,) = set(await broker.write(b"a"))
    async with broker.joined(start_at=FROM_START) as worker:
        await eventually(lambda: worker.values() == [b"a"])
        worker.member.pause([partition])
        await asyncio.sleep(0.2)  # a fetch that is under way may still bring its records
        await broker.write(b"b")
        await asyncio.sleep(0.3)
        assert worker.values() == [b"a"]
        worker.member.resume([partition])
        await eventually(lambda: worker.values() == [b"a", b"b"])


async def test_the_bounds_of_a_log_are_its_first_offset_and_the_next_one(broker: Broker) -> None:
    (partition,) = set(await broker.write(b"a", b"b", b"c"))
    found = await broker.offsets.bounds(broker.partitions)
    assert found == {p: Bounds(0, 3 if p == partition else 0) for p in broker.partitions}


async def test_an_offset_that_is_no_longer_in_the_log_harms_nobody_who_seeks_another(
    broker: Broker,
) -> None:
    """After retention, or where a topic was made anew: the new owner decides where to begin."""
    await broker.write(b"a")
    beyond = {partition: Commit(99, "v1|7|99||") for partition in broker.partitions}
    async with broker.joined() as before:
        await eventually(lambda: before.owned == set(broker.partitions))
        await before.member.commit(beyond)
    async with broker.joined() as worker:
        await eventually(lambda: worker.owned == set(broker.partitions), within=20)
        await asyncio.sleep(1.0)
        for partition in broker.partitions:
            worker.member.seek(partition, 0)
        await eventually(lambda: worker.values() == [b"a"])


# The group.


async def test_one_member_owns_everything_two_share_it_and_let_go_first(broker: Broker) -> None:
    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))
        async with broker.joined("w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
            assert first.owned | second.owned == set(broker.partitions)
            assert first.told[-2:] == ["revoked 2", "assigned 1"]


async def test_a_member_knows_which_part_of_all_partitions_is_its_own(broker: Broker) -> None:
    async with broker.joined("w0") as first:
        await eventually(lambda: first.member.share() == 1.0)
        async with broker.joined("w1") as second:
            await eventually(lambda: (first.member.share(), second.member.share()) == (0.5, 0.5))


async def test_a_member_knows_since_when_the_group_has_not_heard_of_it(broker: Broker) -> None:
    async with broker.joined("w0") as worker:
        await eventually(lambda: worker.member.share() == 1.0)
        # Heartbeats are a quarter of the session apart; without them it would be silent for all of it.
        until = asyncio.get_running_loop().time() + broker.session_seconds
        while asyncio.get_running_loop().time() < until:
            assert 0 <= worker.member.silence() < broker.session_seconds * 0.4
            await asyncio.sleep(broker.session_seconds / 50)


async def test_nobody_is_assigned_what_another_has_not_let_go_of(broker: Broker) -> None:
    letting_go = asyncio.Event()

    async def slowly() -> None:
        await letting_go.wait()

    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))
        first.on_revoked = slowly
        joining = asyncio.create_task(_joined_for_a_while(broker, "w1"))
        await eventually(lambda: first.told[-1] == "revoked 2", within=20)
        await asyncio.sleep(1.0)
        assert first.owned == set(broker.partitions)
        assert not joining.done()
        letting_go.set()
        assert len(await joining) == 1


async def _joined_for_a_while(broker: Broker, instance: str) -> set[Partition]:
    async with broker.joined(instance) as worker:
        await eventually(lambda: worker.owned, within=20)
        return set(worker.owned)


async def test_what_is_let_go_of_can_still_be_committed_until_it_is_let_go_of(
    broker: Broker,
) -> None:
    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))

        async def commit() -> None:
            await first.member.commit({p: Commit(7, "last") for p in broker.partitions})

        first.on_revoked = commit
        async with broker.joined("w1") as second:
            await eventually(lambda: second.owned, within=20)
            assert await broker.committed() == [Commit(7, "last")] * 2


async def test_a_restart_within_its_session_gets_its_partitions_back_and_nobody_notices(
    broker: Broker,
) -> None:
    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))
        async with broker.joined("w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
            mine = set(second.owned)
            told = list(first.told)
        async with broker.joined("w1") as third:
            await eventually(lambda: third.owned == mine, within=20)
            assert first.told == told


async def test_a_member_that_stays_away_for_its_session_loses_its_partitions(
    broker: Broker,
) -> None:
    async with broker.joined("w0") as first:
        async with broker.joined("w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
        within = broker.session_seconds * 3 + 5
        await eventually(lambda: first.owned == set(broker.partitions), within=within)


async def test_a_new_assignment_has_nothing_sought_and_nothing_paused(broker: Broker) -> None:
    await broker.write(b"a", b"b")
    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))
        for partition in broker.partitions:
            first.member.seek(partition, 0)
        await eventually(lambda: first.values() == [b"a", b"b"])
        first.member.pause(broker.partitions)
        async with broker.joined("w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
            first.read.clear()
            await asyncio.sleep(0.3)
            assert first.read == {}
            everything = [*first.owned, *second.owned]
            for worker in (first, second):
                for partition in worker.owned:
                    worker.member.seek(partition, 0)
            await eventually(lambda: sorted(first.values() + second.values()) == [b"a", b"b"])
            assert len(everything) == 2


# Commits.


async def test_a_commit_comes_back_with_its_offset_and_its_metadata(broker: Broker) -> None:
    assert await broker.committed() == [None, None]
    async with broker.joined() as worker:
        await eventually(lambda: worker.owned == set(broker.partitions))
        await worker.member.commit({broker.partitions[0]: Commit(0, "v1|7|0||")})
        assert await broker.committed() == [Commit(0, "v1|7|0||"), None]
    assert await broker.committed() == [Commit(0, "v1|7|0||"), None]


async def test_what_another_owns_is_not_committed(broker: Broker) -> None:
    async with broker.joined("w0") as first:
        await eventually(lambda: first.owned == set(broker.partitions))
        async with broker.joined("w1") as second:
            await eventually(lambda: len(first.owned) == len(second.owned) == 1, within=20)
            (mine,), (moved,) = first.owned, second.owned
            with pytest.raises(CommitRefusedError):
                await first.member.commit({moved: Commit(9, "late")})
            await first.member.commit({mine: Commit(1, "mine")})
            found = await broker.offsets.committed([mine, moved])
            assert found == {mine: Commit(1, "mine"), moved: None}


async def test_a_worker_that_was_replaced_by_its_restart_commits_nothing_any_more(
    broker: Broker,
) -> None:
    async with broker.joined("w0") as sleeper:
        await eventually(lambda: sleeper.owned == set(broker.partitions))
        async with broker.joined("w0") as heir:
            await eventually(lambda: heir.owned == set(broker.partitions), within=20)
            with pytest.raises(CommitRefusedError):
                await sleeper.member.commit({p: Commit(9, "late") for p in broker.partitions})
            assert await broker.committed() == [None, None]


# The end.


async def test_stopping_calls_no_listener_and_ends_polling(broker: Broker) -> None:
    async with broker.joined() as worker:
        await eventually(lambda: worker.owned == set(broker.partitions))
        told = list(worker.told)
    assert worker.told == told
    with pytest.raises(MembershipLostError):
        await worker.member.poll(limit=1, wait=WAIT)
    await worker.member.stop()


async def test_a_stop_ends_a_poll_that_hangs_in_a_rebalance(broker: Broker) -> None:
    """One whose others take their time; a process that is told to end has to."""
    letting_go = asyncio.Event()

    async def slowly() -> None:
        await letting_go.wait()

    async with broker.joined("w0") as slow, broker.joined("w1") as worker:
        await eventually(lambda: len(slow.owned) == len(worker.owned) == 1, within=20)
        slow.on_revoked = slowly
        joining = asyncio.create_task(_joined_for_a_while(broker, "w2"))
        await eventually(lambda: worker.told[-1] == "revoked 1", within=20)
        await eventually(lambda: slow.told[-1] == "revoked 1", within=20)
        await asyncio.sleep(0.5)  # the poll before that has ended, and the next one hangs
        await worker.end()
        letting_go.set()
        await joining
