"""One member of the group."""

import asyncio
import math
from collections import deque
from collections.abc import Collection, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any

from services.kernel.errors import (
    BrokerGoneError,
    CommitRefusedError,
    MembershipLostError,
)
from services.kernel.event import Batch, Partition, Record
from services.kernel.ports.broker import Commit, MemberListener
from tests.support.fake_kafka.broker import FakeKafka
from tests.support.fake_kafka.group import Joined, RebalancingError, UnknownMemberError
from tests.support.processes import current_process
from tests.support.server import GoneError

COMMIT_SECONDS = 1.0
STOP_SECONDS = 5.0
BACKOFF_SECONDS = 0.1
ASK_SECONDS = 10.0


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
        except Exception as error:  # noqa: BLE001 - raised by the next poll
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
