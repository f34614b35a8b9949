"""Taking partitions and letting go of them: assign, revoke, drain.

    assigned ──▶ loading ──▶ active ──▶ closing ──▶ gone
                    │  ▲        │
                    │  └────────┘ Postgres refused the epoch, and we are still a member: load again
                    └── Kafka or Postgres gone: wait, the records stay in the log

Letting go, in this order, each step bounded in time: take nothing more in; take back what is queued;
wait for requests in flight; write down what is still in flight, and of the queued what is partly
delivered (read again, it would repeat); commit; end the epoch in Postgres.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.budget import Budget
from services.dispatch.commit import Committer, Membership
from services.dispatch.cursors import Cursors
from services.dispatch.lost import told_of
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.starts import Starts
from services.dispatch.subscriptions import Subscriptions
from services.feed.start import Gap, Start, begin, floor
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.errors import BrokerGoneError, StoreGoneError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.broker import Bounds, Commit, Offsets
from services.kernel.ports.store.partitions import Assignment, PartitionStore
from services.observe import metrics

log = structlog.get_logger()

RETRY_SECONDS = 1.0
NAP_SECONDS = 0.02
WRITE_SECONDS = 5.0
"""For the last writes of a partition that is let go of. Without them more repeats, nothing is lost."""
LAST_SECONDS = 4 * WRITE_SECONDS + 1.0
"""From the last answer that is waited for to the end: writing rows, the commit, ending the epoch."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Ownership:
    """The member's listener: what the group gives and takes."""

    def __init__(
        self,
        *,
        worker: str,
        membership: Membership,
        offsets: Offsets,
        store: PartitionStore,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        parking: Parking,
        budget: Budget,
        committer: Committer,
        cursors: Cursors,
        starts: Starts,
        subscriptions: Subscriptions,
        clock: Clock,
        revoke_seconds: float,
    ) -> None:
        self._worker = worker
        self._membership = membership
        self._offsets = offsets
        self._store = store
        self._partitions = partitions
        self._outboxes = outboxes
        self._parking = parking
        self._budget = budget
        self._committer = committer
        self._cursors = cursors
        self._starts = starts
        self._subscriptions = subscriptions
        self._clock = clock
        self._revoke_seconds = revoke_seconds
        self._assigning = asyncio.Lock()
        """One bump of epochs at a time: a late one would end the epochs of our next one."""
        self._draining = False
        self._hurry_at = math.inf
        """When a drain stops waiting for answers, monotonic seconds, because a rebalance waits for it."""
        self.spawn: Spawn = _no_group

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """Take *partitions*; their state is loaded beside the poll, which goes on meanwhile."""
        metrics.REBALANCES.inc()
        log.info("partitions_assigned", partitions=sorted(map(str, partitions)))
        if self._draining:
            return
        taken = [self._partitions.add(partition) for partition in partitions]
        if taken:
            self.spawn(self._load(taken))

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Let go of *partitions* within the time for it."""
        held = [owned for p in partitions if (owned := self._partitions.held(p)) is not None]
        if self._draining:
            await self._outlast_drain(held)
        else:
            await self.let_go(held, seconds=self._revoke_seconds)

    async def drain(self, *, seconds: float) -> None:
        """Let go of everything for good: the process ends."""
        self._draining = True
        held = self._partitions.all()
        going = [owned for owned in held if owned.closing]
        await self.let_go([owned for owned in held if not owned.closing], seconds=seconds)
        # A revoke is under way, and only it writes down what it took back.
        until = self._clock.monotonic() + seconds + LAST_SECONDS
        while any(map(self._partitions.is_held, going)) and self._clock.monotonic() < until:
            await self._clock.sleep(NAP_SECONDS)

    async def let_go(self, held: Sequence[Owned], *, seconds: float) -> None:
        """Drain *held* for up to *seconds*, write down the rest, commit, end the epochs."""
        if not held:
            return
        closing = [owned for owned in held if owned.loaded]
        for owned in held:
            owned.closing = True
        queued = [d for owned in closing for d in self._outboxes.withdraw(owned.partition)]
        began = self._clock.monotonic()
        left = await self._wait_for_answers(closing, seconds)
        waited = self._clock.monotonic() - began
        for delivery in left:
            self._parking.leave_in_flight(delivery)
        await self._flush()  # what was answered and has a row counts as settled only from here on
        for delivery in queued:
            self._keep_partly_delivered(delivery)
        await self._flush()
        await self._store_lanes(closing)
        committed = await self._committer.commit(closing)
        with suppress(TimeoutError, StoreGoneError):
            async with asyncio.timeout(WRITE_SECONDS):
                await self._committer.report(closing)
                await self._store.release({owned.partition: owned.epoch for owned in closing})
        for owned in held:
            self._partitions.drop(owned)
            self._parking.release(owned)
            self._outboxes.released(owned.partition)
        log.info(
            "partitions_released",
            partitions=sorted(str(owned.partition) for owned in held),
            still_in_flight=len(left),
            waited_seconds=round(waited, 2),
            committed=committed,
        )

    def abandon(self) -> None:
        """Let go of everything without a commit: the membership is lost, others may own it now."""
        for owned in self._partitions.all():
            owned.closing = True
            self._outboxes.withdraw(owned.partition)
            self._partitions.drop(owned)
            self._parking.release(owned)

    async def renew_refused(self) -> None:
        """Load partitions again whose epoch another worker ended, if the group says they are ours.

        That happens when the previous owner was late with its own assign. A worker that lost its
        membership without knowing learns it here from the group, and drops them.
        """
        refused = [o for o in self._partitions.loaded() if o.refused and not o.closing]
        for owned in refused:
            log.warning("epoch_over", partition=str(owned.partition), epoch=owned.epoch)
            owned.closing = True
            self._outboxes.withdraw(owned.partition)
            still_mine = await self._committer.commit([owned])
            if not self._partitions.is_held(owned):
                continue
            self._parking.release(owned)
            self._partitions.drop(owned)
            if still_mine:
                await self._load([self._partitions.add(owned.partition)])

    async def _outlast_drain(self, held: Sequence[Owned]) -> None:
        """Give a drain under way the time of a revoke; what it has not finished then is over.

        Without this its last commit could follow the rebalance, under the new generation, and be
        accepted for a partition that someone else owns by then.
        """
        now = self._clock.monotonic()
        self._hurry_at = min(self._hurry_at, now + self._revoke_seconds)
        until = now + self._revoke_seconds + LAST_SECONDS
        while any(self._partitions.is_held(owned) for owned in held):
            if self._clock.monotonic() >= until:
                break
            await self._clock.sleep(NAP_SECONDS)
        for owned in held:
            self._partitions.drop(owned)

    async def _wait_for_answers(self, closing: Sequence[Owned], seconds: float) -> list[Delivery]:
        until = self._clock.monotonic() + seconds
        while True:
            left = [d for owned in closing for d in self._outboxes.in_flight(owned.partition)]
            if not left or self._clock.monotonic() >= min(until, self._hurry_at):
                return left
            await self._clock.sleep(NAP_SECONDS)

    async def _store_lanes(self, closing: Sequence[Owned]) -> None:
        async with _in_time("cursors of lanes"):
            await self._cursors.flush(closing)

    async def _flush(self) -> None:
        async with _in_time("rows"):
            await self._parking.flush()

    def _keep_partly_delivered(self, delivery: Delivery) -> None:
        owned = self._partitions.current(delivery.position.partition)
        if owned is None or owned.lane_of(delivery) is not None:
            return  # a lane knows what is settled, and is read from its cursor
        if owned.tracker.is_partial(delivery.position.offset):
            self._parking.postpone(delivery)

    async def _load(self, taken: Sequence[Owned]) -> None:
        """Load the state of *taken* and begin to read. Waits for Kafka and Postgres."""
        while True:
            # Those that began before the store went away go on under the epoch they have.
            taken = [o for o in taken if self._partitions.is_held(o) and not o.loaded]
            if not taken:
                return
            try:
                await self._load_once(taken)
            except (BrokerGoneError, StoreGoneError) as error:
                log.warning("partitions_wait", partitions=len(taken), error=str(error))
                await self._clock.sleep(RETRY_SECONDS)
            else:
                return

    async def _load_once(self, taken: Sequence[Owned]) -> None:
        partitions = [owned.partition for owned in taken]
        # Asked after the assignment, when nobody else can commit to these any more.
        commits = await self._offsets.committed(partitions)
        bounds = await self._offsets.bounds(partitions)
        async with self._assigning:
            taken = [o for o in taken if self._partitions.is_held(o) and not o.closing]
            floors = {owned.partition: floor(commits[owned.partition]) for owned in taken}
            if not floors:
                return
            assignments = await self._store.assign(floors, worker=self._worker)
        await self._subscriptions.catch_up()
        for owned in taken:
            p = owned.partition
            if self._partitions.is_held(owned) and not owned.closing:
                await self._begin(owned, commits[p], assignments[p], bounds[p])

    async def _begin(
        self, owned: Owned, commit: Commit | None, assignment: Assignment, bounds: Bounds
    ) -> None:
        start = begin(owned.partition, commit=commit, assignment=assignment, bounds=bounds)
        begins: Mapping[SubscriptionId, int] = {}
        if start.moves_lanes_to is not None:
            begins = await self._beginnings(owned.partition, assignment, start.moves_lanes_to)
            # Before anything is committed: a worker killed after the commit would start as if there had
            # been no reset.
            await self._store.move_lanes_back(
                owned.partition,
                epoch=assignment.epoch,
                offset=start.moves_lanes_to,
                begins=begins,
            )
        # After all else that can fail, since the whole load is tried again then, and before anything can
        # be committed. A worker killed before its first commit has its heir record and tell them again.
        for gap in start.gaps:
            await self._record(owned.partition, gap, assignment)
        if not self._partitions.is_held(owned) or owned.closing:
            return
        self._budget.load(owned.partition, assignment.usage)
        self._outboxes.load_keys(owned.partition, assignment.epoch, assignment.keys)
        self._outboxes.set_share(self._membership.member.share())
        owned.begin(start, assignment, begins=begins, now=self._clock.now())
        self._starts.begun(owned)
        self._membership.member.seek(owned.partition, start.offset)
        _announce(owned, start)

    async def _record(self, partition: Partition, gap: Gap, assignment: Assignment) -> None:
        """Record a gap of *partition*, and have each subscription told that loses something by it."""
        told = await told_of(gap, partition, assignment, self._subscriptions.all())
        await self._store.record_gap(
            partition,
            from_offset=gap.from_offset,
            to_offset=gap.to_offset,
            reason=gap.reason,
            at=self._clock.now(),
            operations=told,
        )
        metrics.GAPS[gap.reason].inc()
        log.error("gap", partition=str(partition), **gap._asdict(), subscriptions=len(told))

    async def _beginnings(
        self, partition: Partition, assignment: Assignment, above: int
    ) -> Mapping[SubscriptionId, int]:
        """Return where those of its lanes begin whose subscription is younger than the record at *above*.

        Nobody is sent events from before because a person moved the group back; and once another worker
        reads such a lane, nothing tells these events from others.
        """
        found: dict[SubscriptionId, int] = {}
        by_moment: dict[int, list[SubscriptionId]] = defaultdict(list)
        for row in assignment.lanes:
            subscription = self._subscriptions.get(row.subscription_id)
            if subscription is not None:
                by_moment[subscription.begins_ms].append(subscription.id)
        for moment in sorted(by_moment, reverse=True):  # the youngest first
            offset = (await self._offsets.at([partition], moment))[partition]
            if offset <= above:
                break  # all others began even before
            found |= dict.fromkeys(by_moment[moment], offset)
        return found


@asynccontextmanager
async def _in_time(what: str) -> AsyncIterator[None]:
    """Bound a last write, since a rebalance waits for it. Log what isn't written: it is sent again."""
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            yield
    except (TimeoutError, StoreGoneError) as error:
        log.warning("let_go_unwritten", what=what, error=f"{type(error).__name__}: {error}")


def _announce(owned: Owned, start: Start) -> None:
    log.info(
        "partition_begins",
        partition=str(owned.partition),
        epoch=owned.epoch,
        offset=start.offset,
        why=start.why.value,
        replay_below=start.replay_below,
    )


def _no_group(work: Coroutine[Any, Any, None]) -> object:
    work.close()
    raise RuntimeError("the worker runs first")
