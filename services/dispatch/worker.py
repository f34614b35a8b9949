"""All parts of a worker as tasks of one group. A part that fails ends the process."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.commit import Committer
from services.dispatch.consume import Consumer
from services.dispatch.health import Health
from services.dispatch.owned import OwnedPartitions
from services.dispatch.ownership import Ownership
from services.dispatch.standing import Standing
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, StoreGoneError, StuckError
from services.kernel.ports.broker import Member
from services.observe import metrics
from services.observe.lag import measure_lag

log = structlog.get_logger()

Part: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What is done for as long as the worker runs, until cancelled."""

REPORT_SECONDS = 2.0
REJOIN_SECONDS = 1.0
RELOAD_SECONDS = 1.0
POLL_SECONDS = 1.0
LOOK_SECONDS = 0.1


class Membership:
    """The present member of the group; a new one after each that was lost."""

    def __init__(self, make: Callable[[], Member]) -> None:
        self._make = make
        self.member = make()

    def renew(self) -> Member:
        """Make another member; the one before is stopped already."""
        self.member = self._make()
        return self.member


class Worker:
    """One dispatcher. `run` returns after `stop`, once everything is let go of.

    *load* is awaited, in this order, before the first event; *parts* run beside the poll.
    """

    def __init__(
        self,
        *,
        membership: Membership,
        partitions: OwnedPartitions,
        load: Sequence[Part],
        consumer: Consumer,
        ownership: Ownership,
        committer: Committer,
        outboxes: Outboxes,
        health: Health,
        parts: Sequence[Part],
        clock: Clock,
        drain_seconds: float,
    ) -> None:
        self._membership = membership
        self._partitions = partitions
        self._load_steps = load
        self._consumer = consumer
        self._ownership = ownership
        self._committer = committer
        self._outboxes = outboxes
        self._health = health
        self._parts = parts
        self._clock = clock
        self._drain_seconds = drain_seconds
        self._standing = Standing(clock=clock)
        self._stopping = asyncio.Event()
        self._joined = False
        self._was_member = False
        self._stuck: str | None = None

    def stop(self) -> None:
        """Begin to drain; `run` returns when it is done."""
        self._stopping.set()

    def stuck(self, detail: str) -> None:
        """Drain what can be drained; `run` raises StuckError when that is done."""
        self._stuck = detail
        self._stopping.set()

    @property
    def ready(self) -> str | None:
        """None when all our partitions are loaded; else what is still missing."""
        held = self._partitions.all()
        if not self._joined:
            return "not a member of the group yet"
        waiting = [str(owned.partition) for owned in held if not owned.loaded]
        return f"loading {', '.join(sorted(waiting))}" if waiting else None

    async def run(self) -> None:
        """Deliver until stopped. Raises what no part could deal with, and StuckError."""
        if not await self._load():
            return
        async with asyncio.TaskGroup() as group:
            self._ownership.spawn = group.create_task
            lag = partial(measure_lag, self._clock)
            parts: Sequence[Part] = (*self._parts, self._report, lag)
            tasks = [group.create_task(part()) for part in parts]
            await self._consume()
            for task in tasks:
                task.cancel()
        if self._stuck is not None:
            raise StuckError(self._stuck)

    async def _load(self) -> bool:
        """Load what is needed before the first event; return False where we were told to stop meanwhile.

        Postgres answered when this process was started: if it is gone now, that is an outage like any
        other.
        """

        async def load() -> None:
            for step in self._load_steps:
                await step()

        while not self._stopping.is_set():
            try:
                return await self._unless_stopped(load)
            except StoreGoneError as error:
                log.warning("start_waits", error=str(error))
                await self._clock.sleep(RELOAD_SECONDS)
        return False

    async def _consume(self) -> None:
        """Poll with one member after the other until stopped; the last one drains."""
        while not self._stopping.is_set():
            member = self._membership.member
            if await self._started(member):
                await self._poll(member)
                self._joined = False
            elif self._stopping.is_set():
                # A member that is given up while joining may still have been assigned partitions:
                # without this, lanes would be read on and nobody would let go of them.
                await self._ownership.drain(seconds=self._drain_seconds)
            await member.stop()
            if not self._stopping.is_set():
                self._ownership.abandon()
                await self._clock.sleep(REJOIN_SECONDS)
                await self._outlast_ordered()
                self._membership.renew()

    async def _outlast_ordered(self) -> None:
        """Wait for what is under way of ordered subscriptions, which takes less than a session.

        Who joins agrees that others get what was ours, before the session ends; they would send the
        same and what comes after it meanwhile.
        """
        while self._outboxes.has_ordered_in_flight and not self._stopping.is_set():
            await self._clock.sleep(LOOK_SECONDS)

    async def _started(self, member: Member) -> bool:
        try:
            started = await self._unless_stopped(lambda: member.start(self._ownership))
        except BrokerGoneError as error:
            if not self._was_member:
                raise  # the first time, whoever started us should know
            log.warning("kafka_gone", error=str(error))
            return False
        if started:
            self._joined = self._was_member = True
        return started

    async def _unless_stopped(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do *work* to its end, or give it up when we are to stop; tell which."""
        done = False

        async def do() -> None:
            nonlocal done
            # Called in here: a coroutine made outside would never be awaited if cancelled first.
            await work()
            done = True
            watching.cancel()

        async def watch() -> None:
            await self._stopping.wait()
            doing.cancel()

        try:
            async with asyncio.TaskGroup() as group:
                doing = group.create_task(do())
                watching = group.create_task(watch())
        except* (BrokerGoneError, StoreGoneError) as gone:
            raise gone.exceptions[0] from None
        return done

    async def _poll(self, member: Member) -> None:
        """Poll until the membership is lost, or until stopped and drained."""
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(self._consumer.run(self._stopping))
            stopping = group.create_task(self._stopping.wait())
            await asyncio.wait({polling, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if self._stopping.is_set():
                log.info("draining", seconds=self._drain_seconds)
                await self._ownership.drain(seconds=self._drain_seconds)
                await asyncio.wait({polling}, timeout=POLL_SECONDS)
                await member.stop()  # ends a poll that hangs in a rebalance

    async def _report(self) -> None:
        while True:
            await self._clock.sleep(REPORT_SECONDS)
            loaded = self._partitions.loaded()
            await self._committer.report(loaded)
            await self._health.report(partitions=len(loaded))
            await self._ownership.renew_refused()
            self._outboxes.set_share(self._membership.member.share())
            self._standing.measure(loaded)
            metrics.PARTITIONS_OWNED.set(len(loaded))
            metrics.OPEN_OFFSETS.set(sum(owned.tracker.open_count for owned in loaded))
