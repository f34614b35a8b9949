"""Kafka as workers see it, without Kafka; `tests/contract` has one suite for both.

The group is eager, as aiokafka's is: whoever joins or is missed for a session time-out makes all
others let go, join again, and be assigned anew under the next generation. Members are static: a
restarted one, known by its instance, takes its partitions back without anybody noticing.

A commit is fenced by the generation *when it is sent*, not by who owns the partition, and during a
rebalance the old generation's commits are still taken: what the real one does, and what a worker has
to be careful of.
"""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from services.kernel.errors import (
    BrokerGoneError,
    CommitRefusedError,
    MembershipLostError,
    OutOfLogError,
)
from services.kernel.event import Batch, Partition, Position, Record
from services.kernel.ports.broker import Bounds, Commit, MemberListener
from tests.support.processes import Process, current_process, later
from tests.support.server import GoneError, Server, State, no_time

T = TypeVar("T")

COMMIT_SECONDS = 1.0
STOP_SECONDS = 5.0
BACKOFF_SECONDS = 0.1
ASK_SECONDS = 10.0


class UnknownMemberError(Exception):
    """The group doesn't know this member, or its generation is over."""


class RebalancingError(Exception):
    """The group rebalances: let go, and join again."""


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0

    def read(self, offset: int, limit: int) -> tuple[list[Record], int]:
        """Return records from *offset* on, and where to read on: past holes, where one follows."""
        found = [record for record in self.records if record.position.offset >= offset]
        if len(found) > limit:
            return found[:limit], found[limit].position.offset
        return found, self.end

    def at(self, moment_ms: int) -> int:
        """Return the first offset at or after *moment_ms*; the end where there is none."""
        later_ones = (r.position.offset for r in self.records if r.timestamp_ms >= moment_ms)
        return next(later_ones, self.end)


class Joined(NamedTuple):
    """What a member is told at the end of a rebalance."""

    generation: int
    member_id: str
    partitions: tuple[Partition, ...]


@dataclass
class GroupMember:
    """A member as the group knows it."""

    id: str
    instance: str
    topics: Sequence[str]
    process: Process | None
    alive_until: float = 0.0
    watched: bool = False
    """Whether a timer looks after its session."""
    partitions: tuple[Partition, ...] = ()
    joining: asyncio.Future[Joined] | None = None

    def refuse(self, error: Exception) -> None:
        """End its wait for the others."""
        joining, self.joining = self.joining, None
        if joining is not None and not joining.done():
            joining.set_exception(error)
            joining.exception()  # the member may be dead


class CommitWatcher:
    """Told of each commit and sign of life that the group took, at that instant.

    A test overrides what it needs.
    """

    def heard_of(self, process: Process | None) -> None:
        """A member gave a sign of life: it was in the group still."""

    def committed(
        self, process: Process | None, commits: Mapping[Partition, Commit], owned: set[Partition]
    ) -> None:
        """Commits were taken from a member that the group says owns *owned*."""


@dataclass
class Group:
    """The one consumer group."""

    session_timeout: float
    rebalance_timeout: float
    partitions: Callable[[Sequence[str]], list[Partition]]
    watcher: CommitWatcher = field(default_factory=CommitWatcher)
    generation: int = 0
    rebalancing: bool = False
    members: dict[str, GroupMember] = field(default_factory=dict)
    stored: list[GroupMember] = field(default_factory=list)
    """Of the present generation: what a restart of the broker finds again."""
    offsets: dict[Partition, Commit] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def join(
        self, member_id: str, instance: str, topics: Sequence[str], process: Process | None
    ) -> asyncio.Future[Joined]:
        """Join, or join again; the answer comes when all others have."""
        answer: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        if member_id:
            member = self._known(member_id)
        else:
            member = GroupMember(f"{instance}-{next(self.numbers)}", instance, topics, process)
            before = next((m for m in self.members.values() if m.instance == instance), None)
            if before is not None:
                self._replace(before, member)
            self.members[member.id] = member
            if before is None and not self.rebalancing:
                self._rebalance()
        self._touch(member)
        if self.rebalancing:
            member.joining = answer
            self._complete_if_all_joined()
        else:
            answer.set_result(Joined(self.generation, member.id, member.partitions))
        return answer

    def heartbeat(self, member_id: str, generation: int) -> None:
        """Take a sign of life."""
        member = self._known(member_id, generation)
        self._touch(member)
        self.watcher.heard_of(member.process)
        if self.rebalancing:
            raise RebalancingError

    def commit(
        self,
        process: Process | None,
        member_id: str,
        generation: int,
        commits: Mapping[Partition, Commit],
    ) -> None:
        """Take commits of a member in its generation, whichever partitions they are of."""
        member = self._known(member_id, generation)
        self._touch(member)
        self.watcher.heard_of(member.process)
        self.offsets.update(commits)
        self.watcher.committed(process, commits, set(member.partitions))

    def evict(self, member_id: str) -> None:
        """Forget a member, as if its session had ended."""
        if self.members.pop(member_id, None) is not None:
            self._rebalance()

    def restart(self) -> None:
        """Go back to what is stored, as a restarted broker does: sessions begin anew."""
        self.rebalancing = False
        for member in self.members.values():
            member.refuse(GoneError("the broker restarts"))
        self.members = {member.id: member for member in self.stored}
        for member in self.stored:
            self._touch(member)

    def owner(self, partition: Partition) -> Process | None:
        """Return who owns *partition* as the group sees it."""
        return next((m.process for m in self.members.values() if partition in m.partitions), None)

    def _known(self, member_id: str, generation: int | None = None) -> GroupMember:
        member = self.members.get(member_id)
        if member is None or (generation is not None and generation != self.generation):
            raise UnknownMemberError(member_id)
        return member

    def _replace(self, before: GroupMember, member: GroupMember) -> None:
        del self.members[before.id]
        before.refuse(UnknownMemberError(before.id))
        member.partitions = before.partitions
        self.stored = [member if one is before else one for one in self.stored]

    def _touch(self, member: GroupMember) -> None:
        member.alive_until = asyncio.get_running_loop().time() + self.session_timeout
        if not member.watched:
            member.watched = True
            later(self.session_timeout, self._check, member)

    def _check(self, member: GroupMember) -> None:
        now = asyncio.get_running_loop().time()
        if self.members.get(member.id) is not member:
            member.watched = False
        elif member.joining is not None:  # it is waited for by us, not we for it
            later(self.session_timeout, self._check, member)
        elif now < member.alive_until:
            later(member.alive_until - now, self._check, member)
        else:
            member.watched = False
            self.evict(member.id)

    def _rebalance(self) -> None:
        if not self.rebalancing:
            self.rebalancing = True
            later(self.rebalance_timeout, self._complete_after_all, self.generation)
        self._complete_if_all_joined()

    def _complete_after_all(self, generation: int) -> None:
        if self.rebalancing and self.generation == generation:
            self._complete()

    def _complete_if_all_joined(self) -> None:
        if self.rebalancing and all(m.joining is not None for m in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        self.rebalancing = False
        self.generation += 1
        self.members = {id_: m for id_, m in self.members.items() if m.joining is not None}
        members = sorted(self.members.values(), key=lambda m: m.instance)
        for member in members:
            member.partitions = ()
        for topic in sorted({topic for member in members for topic in member.topics}):
            takers = [member for member in members if topic in member.topics]
            self._share_out(self.partitions([topic]), takers)
        self.stored = members
        for member in members:
            self._touch(member)
            joining, member.joining = member.joining, None
            if joining is not None and not joining.done():
                joining.set_result(Joined(self.generation, member.id, member.partitions))

    def _share_out(self, partitions: list[Partition], takers: list[GroupMember]) -> None:
        each, rest = divmod(len(partitions), len(takers))
        begin = 0
        for n, member in enumerate(takers):
            size = each + (n < rest)
            member.partitions += tuple(partitions[begin : begin + size])
            begin += size


class FakeKafka(Server):
    """The broker."""

    def __init__(
        self,
        topics: Mapping[str, int],
        *,
        session_timeout: float = 10.0,
        rebalance_timeout: float = 30.0,
        latency: Callable[[], float] = no_time,
        watcher: CommitWatcher | None = None,
    ) -> None:
        super().__init__(latency=latency)
        self.logs = {Partition(t, n): Log() for t, count in topics.items() for n in range(count)}
        self.group = Group(
            session_timeout=session_timeout,
            rebalance_timeout=rebalance_timeout,
            partitions=lambda asked: [p for p in self.logs if p.topic in asked],
            watcher=watcher or CommitWatcher(),
        )
        self._readers: list[asyncio.Future[None]] = []
        self.retention: timedelta | None = None
        """For how long each topic says that it keeps a record."""

    def go(self, state: State) -> None:
        """Go down, or come back as a restarted broker does."""
        was_up = self.state is State.UP
        super().go(state)
        if was_up and state is not State.UP:
            self.group.restart()
        elif state is State.UP and not was_up:
            self.group.restart()
            self._wake_readers()

    def delete_below(self, partition: Partition, offset: int) -> None:
        """Delete what lies below *offset*, as retention does."""
        log = self.logs[partition]
        log.start = max(log.start, offset)
        log.records = [record for record in log.records if record.position.offset >= log.start]

    def append(
        self,
        partition: Partition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp_ms: int = 0,
    ) -> Position:
        """Write one record."""
        log = self.logs[partition]
        position = Position(partition, log.end)
        log.records.append(
            Record(
                position=position,
                timestamp_ms=timestamp_ms,
                key=key,
                value=value,
                headers=list(headers),
            )
        )
        log.end += 1
        self._wake_readers()
        return position

    def skip(self, partition: Partition, count: int) -> None:
        """Use up offsets that no reader sees, as markers of transactions do."""
        self.logs[partition].end += count

    def read(
        self, positions: Mapping[Partition, int], limit: int
    ) -> dict[Partition, tuple[list[Record], int]]:
        """Return up to *limit* records from there on, of the partitions in turn."""
        found = {}
        for partition, offset in positions.items():
            records, next_offset = self.logs[partition].read(offset, limit)
            if records or next_offset > offset:  # nothing but markers: no record, but a position
                found[partition] = records, next_offset
                limit -= len(records)
            if limit <= 0:
                break
        return found

    def more(self) -> asyncio.Future[None]:
        """Return a future that is done when there is more to read."""
        found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(found)
        return found

    def _wake_readers(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)


class FakeMember:
    """One member of the group: a client, in the process that uses it."""

    def __init__(
        self,
        kafka: FakeKafka,
        *,
        instance: str,
        topics: Sequence[str],
        start_timeout: float = 10.0,
    ) -> None:
        self._kafka = kafka
        self._instance = instance
        self._topics = topics
        self._start_timeout = start_timeout
        self._member_id = ""
        self._generation = 0
        self._assigned: tuple[Partition, ...] = ()
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        self._first = asyncio.Event()
        self._settled = asyncio.Event()
        """Set while no rebalance is under way."""
        self._rejoin = asyncio.Event()
        self._closing = False
        self._failure: BaseException | None = None
        self._heard_at = -math.inf
        self._coordinating: asyncio.Task[None] | None = None
        self._turn = deque[Partition]()

    async def start(self, listener: MemberListener) -> None:
        """Join. Raises BrokerGoneError after the time limit for starting."""
        self._rejoin.set()
        self._coordinating = asyncio.get_running_loop().create_task(self._coordinate(listener))
        try:
            async with asyncio.timeout(self._start_timeout):
                await self._first.wait()
        except TimeoutError as error:
            raise BrokerGoneError("Kafka can't be reached") from error

    async def poll(self, *, limit: int, wait: timedelta) -> Mapping[Partition, Batch]:
        """Return what has arrived, maybe nothing."""
        loop = asyncio.get_running_loop()
        self._check()
        await self._settled.wait()
        until = loop.time() + wait.total_seconds()
        while True:
            positions = {p: self._positions[p] for p in self._readable()}
            more = self._kafka.more()
            found = await self._read(positions, limit, seconds=max(until - loop.time(), 0.001))
            batches = {}
            for partition, (records, next_offset) in found.items():
                # What was sought or taken away meanwhile isn't handed out.
                if self._positions.get(partition) == positions[partition]:
                    self._positions[partition] = next_offset
                    self._turn.remove(partition)
                    self._turn.append(partition)
                    batches[partition] = Batch(records, next_offset)
            left = until - loop.time()
            if batches or left <= 0 or self._closing:
                return batches
            await asyncio.wait([more], timeout=left)

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        """Commit within a second, or raise CommitRefusedError or BrokerGoneError."""
        if not commits.keys() <= set(self._assigned):
            raise CommitRefusedError("not assigned")
        process = current_process()
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                while True:
                    # Known when it is sent, which may be a generation after it was decided.
                    id_, generation = self._member_id, self._generation
                    try:
                        await self._kafka.ask(
                            lambda: self._kafka.group.commit(process, id_, generation, commits),  # noqa: B023 - asked at once
                            seconds=COMMIT_SECONDS,
                        )
                    except GoneError:
                        await asyncio.sleep(BACKOFF_SECONDS)
                    else:
                        return
        except UnknownMemberError as error:
            self._forget_membership()
            raise CommitRefusedError("the generation is over") from error
        except TimeoutError as error:
            raise BrokerGoneError("no answer") from error

    def seek(self, partition: Partition, offset: int) -> None:
        """Read *partition* from *offset* on."""
        if partition in self._assigned:
            self._positions[partition] = offset
            if partition not in self._turn:
                self._turn.append(partition)

    def silence(self) -> float:
        """Return for how many seconds at most the group hasn't heard of this member."""
        return asyncio.get_running_loop().time() - self._heard_at

    def share(self) -> float:
        """Return which part of all partitions of its topics this member has."""
        total = sum(partition.topic in self._topics for partition in self._kafka.logs)
        return len(self._assigned) / total if total else 0.0

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch no more of *partitions*."""
        self._paused.update(set(partitions) & set(self._assigned))

    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch *partitions* again."""
        self._paused.difference_update(partitions)

    async def stop(self) -> None:
        """Close; a static member stays known to the group until its session ends."""
        if self._closing:
            return
        self._closing = True
        self._rejoin.set()
        if self._coordinating is not None:
            await asyncio.wait([self._coordinating], timeout=STOP_SECONDS)
            self._coordinating.cancel()
        self._settled.set()

    def letting_go(self) -> None:
        """Partitions are about to be taken away. A test overrides this where it wants to know."""

    def fail(self) -> None:
        """Fail beyond repair at the next poll, as a client does on an error that it doesn't know."""
        self._failure = MembershipLostError("something unheard of")

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closing:
            raise MembershipLostError("the consumer was stopped")

    def _readable(self) -> list[Partition]:
        return [p for p in self._turn if p in self._positions and p not in self._paused]

    async def _read(
        self, positions: Mapping[Partition, int], limit: int, *, seconds: float
    ) -> Mapping[Partition, tuple[list[Record], int]]:
        if not positions:
            return {}
        try:
            return await self._kafka.ask(
                lambda: self._kafka.read(positions, limit), seconds=seconds
            )
        except GoneError:
            return {}

    async def _coordinate(self, listener: MemberListener) -> None:
        """Let go, join, be assigned, beat, and again, until closed."""
        await self._let_go(listener)
        while not self._closing:
            joined = await self._join()
            if joined is None:
                continue
            self._generation, self._member_id, self._assigned = joined
            self._forget_positions()
            self._rejoin.clear()
            self._first.set()
            self._settled.set()
            async with asyncio.TaskGroup() as group:
                beating = group.create_task(self._beat())
                await self._told(listener.assigned(self._assigned))
                await self._rejoin.wait()
                if not self._closing:
                    # Beats go on while what is taken away is let go of.
                    await self._let_go(listener)
                beating.cancel()

    async def _let_go(self, listener: MemberListener) -> None:
        self.letting_go()
        self._settled.clear()
        self._forget_positions()
        await self._told(listener.revoked(self._assigned))

    def _forget_positions(self) -> None:
        """Where to read, and what is paused, belongs to an assignment."""
        self._positions.clear()
        self._paused.clear()
        self._turn.clear()

    async def _told(self, call: Coroutine[Any, Any, None]) -> None:
        """Wait for the listener; what it raises is raised by the next poll."""
        if self._kafka.sealed:
            call.close()
            return
        try:
            await call
        except Exception as error:  # noqa: BLE001 - see there
            self._failure = error

    async def _join(self) -> Joined | None:
        process = current_process()
        id_ = self._member_id
        began = asyncio.get_running_loop().time()
        try:
            pending = await self._kafka.ask(
                lambda: self._kafka.group.join(id_, self._instance, self._topics, process),
                seconds=ASK_SECONDS,
            )
            async with asyncio.timeout(self._kafka.group.rebalance_timeout + ASK_SECONDS):
                joined = await pending
                self._heard_at = began
                return joined
        except UnknownMemberError:
            self._member_id = ""
        except (GoneError, TimeoutError):
            pass
        await asyncio.sleep(BACKOFF_SECONDS)
        return None

    async def _beat(self) -> None:
        interval = self._kafka.group.session_timeout / 4
        while True:
            await asyncio.sleep(interval)
            id_, generation = self._member_id, self._generation
            began = asyncio.get_running_loop().time()
            try:
                await self._kafka.ask(
                    lambda: self._kafka.group.heartbeat(id_, generation),  # noqa: B023 - asked at once
                    seconds=ASK_SECONDS,
                )
                self._heard_at = began
            except RebalancingError:
                self._rejoin.set()
            except UnknownMemberError:
                self._forget_membership()
                return
            except GoneError:
                pass

    def _forget_membership(self) -> None:
        self._member_id = ""
        self._rejoin.set()


class FakeOffsets:
    """Offsets and bounds: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        """Return the group's offsets with their metadata; None where there is none."""
        return await self._ask(lambda: {p: self._kafka.group.offsets.get(p) for p in partitions})

    async def partitions(self, topics: Collection[str]) -> Sequence[Partition]:
        """Return the partitions of those of *topics* that exist."""
        return await self._ask(lambda: sorted(p for p in self._kafka.logs if p.topic in topics))

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        """Return start and end of each partition."""
        logs = self._kafka.logs
        return await self._ask(lambda: {p: Bounds(logs[p].start, logs[p].end) for p in partitions})

    async def retention(self, topics: Collection[str]) -> Mapping[str, timedelta | None]:
        """Return for how long each topic keeps a record; None: for ever."""
        return await self._ask(lambda: dict.fromkeys(topics, self._kafka.retention))

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset at or after *moment_ms*; the end where there is none."""
        logs = self._kafka.logs
        return await self._ask(lambda: {p: logs[p].at(moment_ms) for p in partitions})

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._kafka.ask(effect, seconds=ASK_SECONDS)
        except GoneError as error:
            raise BrokerGoneError(str(error)) from error


class FakeLogReader:
    """The log by pointer: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def read(
        self, positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        """Return up to *limit* records from these offsets on, of some partitions; maybe nothing."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait.total_seconds()
        while True:
            more = self._kafka.more()
            try:
                found = await self._kafka.ask(
                    lambda: self._within(positions, limit), seconds=ASK_SECONDS
                )
            except GoneError as error:
                raise BrokerGoneError(str(error)) from error
            left = until - loop.time()
            if found or left <= 0:
                return found
            await asyncio.wait([more], timeout=left)

    async def stop(self) -> None:
        """Close."""

    def _within(self, positions: Mapping[Partition, int], limit: int) -> Mapping[Partition, Batch]:
        logs = self._kafka.logs
        outside = [p for p, at in positions.items() if not logs[p].start <= at <= logs[p].end]
        if outside:
            raise OutOfLogError(", ".join(map(str, outside)))
        found = {}
        for partition, offset in positions.items():
            records, next_offset = logs[partition].read(offset, limit)
            if limit > 0 and next_offset > offset:
                found[partition] = Batch(records, next_offset)
                limit -= len(records)
        return found


class FakeProducer:
    """Writes records: a client."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> Position:
        """Write one record, to the first partition of *topic* where none is named."""
        place = Partition(topic, partition or 0)
        try:
            return await self._kafka.ask(
                lambda: self._kafka.append(place, value, key=key, headers=headers),
                seconds=ASK_SECONDS,
            )
        except GoneError as error:
            raise BrokerGoneError(str(error)) from error
