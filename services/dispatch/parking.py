"""Failures become rows in Postgres, in batches; they are settled only once it has committed them.

Two states of a delivery here, keyed by its pair (position, subscription):

    pending   a change to its row waits to be written; a newer change of the same pair replaces it
    held      it has a row, or will have one, *and* is in this process too: in flight, queued, or pending.
              What is held is not picked up as due

Beyond its subscription's budget a delivery doesn't become a row: a lane takes over. While Postgres is
gone, what is pending and due is retried from memory. That is bounded by the windows of the partitions,
since each such delivery is an open offset.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TypeAlias

import structlog

from services.dispatch.budget import Budget
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement, Trigger
from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.retries import Bury, Park, Remove, RetryStore, RowChange, Waits
from services.observe import metrics

log = structlog.get_logger()

Pair: TypeAlias = tuple[Position, SubscriptionId]

BATCH_ROWS = 500
BATCH_BYTES = 4 << 20
BACKOFF_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class Parking:
    """Everything that is or will be a retry row or a dead letter."""

    def __init__(
        self,
        *,
        store: RetryStore,
        partitions: OwnedPartitions,
        budget: Budget,
        clock: Clock,
        ordered_seconds: float,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._budget = budget
        self._clock = clock
        self._ordered_seconds = ordered_seconds
        self.on_turn: Callable[[Delivery], None] = lambda _: None
        """Called with an ordered delivery whose row will be fetched when its key is free."""
        self.on_through: Callable[[Delivery], None] = lambda _: None
        """Called with a delivery that is given up for good: its key may go on."""
        self._pending: dict[Pair, RowChange] = {}
        self._held: dict[Pair, bool] = {}
        self._members: set[Pair] = set()
        """Each event of the batches that are held."""
        self._stale: set[Pair] = set()
        """Those retried from memory: their row, if there is one, is older than the latest decision."""
        self._wake = Wake()
        self._writing = asyncio.Lock()
        self.on_beside: Callable[[Delivery, Settlement], None] = lambda *_: None
        """Called with a delivery of a replay and how it was settled."""
        self.store_gone = False
        """Whether the last write found Postgres gone."""

    # What the flow decides. Nothing here awaits.

    def holds(self, delivery: Delivery) -> bool:
        """Tell whether *delivery* has a row, or one is on its way."""
        if not self._held:
            return False
        return delivery.pair in self._held or (
            bool(self._members) and delivery.pair in self._members
        )

    def park(self, delivery: Delivery, attempt: Attempt, due_at: datetime) -> bool:
        """Retry *delivery*, whose *attempt* failed, at *due_at*; False: there is no room for a row."""
        if not self._may_have_row(delivery):
            return False
        again = replace(
            delivery,
            number=delivery.number + 1,
            trigger=delivery.trigger if delivery.replay else Trigger.RETRY,
            retry_reason=attempt.outcome.value,
        )
        self._put(again, Park(again, due_at, attempt))
        return True

    def block(self, delivery: Delivery, attempt: Attempt) -> None:
        """Hold the key of *delivery*, whose schedule has run out, until a person releases it."""
        again = replace(delivery, number=delivery.number + 1, retry_reason=attempt.outcome.value)
        self._put(again, Park(again, None, attempt, Waits.PERSON))

    def bury(self, delivery: Delivery, attempt: Attempt | None, reason: str) -> None:
        """Give *delivery* up: a dead letter with its reason."""
        self._put(delivery, Bury(delivery, reason, attempt))

    def remove(self, delivery: Delivery, how: Settlement = Settlement.ACKNOWLEDGED) -> None:
        """Delete the row of *delivery*: it was acknowledged, or superseded."""
        if self._held.get(delivery.pair) is False:  # no row was written yet: forget about it
            self._let_be(delivery)
            self._settle(delivery, how)
            return
        self._put(delivery, Remove(delivery, how))

    def supersede(self, delivery: Delivery) -> None:
        """Delete the row of *delivery*, held here or not: a newer position is sent in its place."""
        if not self._is_over(delivery):
            self._held.setdefault(delivery.pair, True)
            self.remove(delivery, Settlement.SUPERSEDED)

    def discard(self, delivery: Delivery, how: Settlement) -> None:
        """Settle *delivery* without a row: its subscription is gone, and its rows with it."""
        self._let_be(delivery)
        self._settle(delivery, how)
        self.on_through(delivery)

    def put_back(self, delivery: Delivery) -> None:
        """Let go of a delivery from a row that was in line: the row becomes due again instead."""
        # An earlier attempt to write its row may have failed.
        if self._waits_for(delivery) or delivery.pair in self._stale:
            self._put(delivery, self._row(delivery, None, self._clock.now()))
        elif delivery.pair not in self._pending:
            self._let_go(delivery)
            if delivery.order is not None:
                self.on_turn(delivery)

    def set_down(self, delivery: Delivery) -> None:
        """Give a request in flight a row, if there is room, so that it holds up no offset.

        The row isn't due: the answer deletes or schedules it, and only a new epoch makes it due.
        """
        if delivery.is_beside:
            return  # it holds up nothing but its replay
        if delivery.pair not in self._held and self._may_have_row(delivery):
            self._put(delivery, Park(delivery, None, None))

    def postpone(self, delivery: Delivery) -> None:
        """Give a delivery that the caller took out of its outbox a row, whatever the budget says."""
        if delivery.pair not in self._held:
            self._put(delivery, self._row(delivery, None, self._clock.now()))

    def leave_in_flight(self, delivery: Delivery) -> None:
        """Give a request that outlasts the drain a row, whatever the budget says.

        An ordered one becomes due when it must have ended: nothing of its key may go out before.
        """
        if delivery.order is not None:
            due_at = self._clock.now() + timedelta(seconds=self._ordered_seconds)
            self._put(delivery, Park(delivery, due_at, None))
        elif delivery.pair not in self._held:
            self._put(delivery, Park(delivery, None, None))

    def take(self, delivery: Delivery) -> None:
        """Hold a delivery whose due row was picked up and that is about to be sent."""
        self._held[delivery.pair] = True

    def held_rows(self) -> list[Pair]:
        """Return the pairs that have a row and are in this process, so must not be picked up again."""
        return [pair for pair, written in self._held.items() if written]

    # What time brings.

    def due_from_memory(self) -> list[Delivery]:
        """Take what is due but can't become a row now, to be retried from memory."""
        now = self._clock.now()
        due: list[Delivery] = []
        if not self.store_gone:
            return due
        for pair, change in list(self._pending.items()):
            owned = self._partitions.current(pair[0].partition)
            # What a lane has yet to reach stays here: otherwise the lane would send it as well.
            if owned is None or not owned.active or owned.reads_again(change.delivery):
                continue
            if isinstance(change, Park) and _is_due(change, now):
                del self._pending[pair]
                if self._held[pair]:
                    self._stale.add(pair)
                else:
                    self._let_be(change.delivery)
                due.append(change.delivery)
        return due

    async def run(self) -> None:
        """Write what is pending as it comes, until cancelled. Waits out a lost Postgres."""
        failures = 0
        while True:
            await self._wake.wait()
            while self._pending:
                try:
                    await self.flush()
                    failures = 0
                except StoreGoneError as error:
                    seconds = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
                    failures += 1
                    if failures == 1:
                        log.warning("parking_waits", rows=len(self._pending), error=str(error))
                    await self._clock.sleep(seconds)

    async def flush(self) -> None:
        """Write what is pending now, or raise StoreGoneError; then settle what was written."""
        async with self._writing:
            for _ in range(1 + len(self._pending) // BATCH_ROWS):
                if not self._pending:
                    break
                batch = self._batch()
                try:
                    changes = [change for _, change in batch]
                    known = self._partitions.writes()
                    writes = await self._store.write(changes, known=known)
                except StoreGoneError:
                    self.store_gone = True
                    raise
                self.store_gone = False
                self._count(changes, writes)
                for pair, change in batch:
                    self._written(pair, change, writes)

    def release(self, owned: Owned) -> None:
        """Forget everything of a partition that isn't ours any more; its rows stay."""
        for mine in (self._pending, self._held):
            for pair in [pair for pair in mine if pair[0].partition == owned.partition]:
                del mine[pair]
        for pairs in (self._members, self._stale):
            pairs -= {pair for pair in pairs if pair[0].partition == owned.partition}
        self._budget.release(owned.partition)

    # Inside.

    def _row(self, delivery: Delivery, attempt: Attempt | None, due_at: datetime) -> Park:
        """Return the row of *delivery*: ordered and not tried yet, it comes back when it is its turn."""
        if delivery.order is None or attempt is not None:
            return Park(delivery, due_at, attempt)
        self.on_turn(delivery)
        return Park(delivery, None, None, Waits.TURN)

    def _waits_for(self, delivery: Delivery) -> bool:
        """Tell whether *delivery* is still open: an attempt to write its row may have failed."""
        owned = self._partitions.current(delivery.position.partition)
        return owned is not None and owned.waits_for(delivery)

    def _may_have_row(self, delivery: Delivery) -> bool:
        """Tell whether there is room for a row. The last of the budget is kept for lanes."""
        if delivery.is_batch:
            return True  # read again, it would be a different batch
        if delivery.order is not None:
            return True  # what waits behind it must not overtake it: it can't be read again later
        owned = self._partitions.current(delivery.position.partition)
        in_lane = owned is not None and owned.lane_of(delivery) is not None
        return delivery.pair in self._held or self._budget.admits(delivery, in_lane=in_lane)

    def _is_over(self, delivery: Delivery) -> bool:
        """Tell whether the epoch of *delivery* is over.

        A request can outlast its epoch. The partition's new owner goes by the row or by the log. If that
        is us again, what is held for the new epoch must not be mixed up with this delivery.
        """
        owned = self._partitions.current(delivery.position.partition)
        return owned is None or owned.epoch != delivery.epoch

    def _put(self, delivery: Delivery, change: RowChange) -> None:
        if self._is_over(delivery):
            return
        pair = delivery.pair
        if pair not in self._held:
            self._held[pair] = False
            self._members.update(_members(delivery))
            self._budget.add(delivery)
        self._stale.discard(pair)
        self._pending.pop(pair, None)  # the newest goes to the end
        self._pending[pair] = change
        self._wake.set()

    def _batch(self) -> list[tuple[Pair, RowChange]]:
        batch: list[tuple[Pair, RowChange]] = []
        size = 0
        for pair, change in islice(self._pending.items(), BATCH_ROWS):
            size += len(change.delivery.body)
            if batch and size > BATCH_BYTES:
                break
            batch.append((pair, change))
            self._held[pair] = True  # from here on the row may exist, whatever we hear
        return batch

    def _count(self, changes: Sequence[RowChange], writes: Mapping[Partition, int]) -> None:
        """Note that a write to these partitions came through, before any commit relies on it."""
        for partition, epoch in {
            (c.delivery.position.partition, c.delivery.epoch) for c in changes
        }:
            owned = self._partitions.current(partition)
            if owned is not None and owned.epoch == epoch and partition in writes:
                owned.wrote(writes[partition])

    def _written(self, pair: Pair, change: RowChange, taken: Collection[Partition]) -> None:
        newest = self._pending.get(pair) is change
        if newest:
            del self._pending[pair]
        owned = self._partitions.current(pair[0].partition)
        if owned is None or owned.epoch != change.delivery.epoch:
            return
        if pair[0].partition not in taken:
            owned.refused = True
            return
        match change:
            case Park(due_at=due_at, waits_for=waits_for):
                self._settle(change.delivery, Settlement.PARKED)
                if newest and (due_at is not None or waits_for is not Waits.TIME):
                    self._let_go(change.delivery)
            case Remove(how=how):
                self._settle(change.delivery, how)
                self._forget_row(change.delivery, newest=newest)
            case Bury():
                self._settle(change.delivery, Settlement.DEAD)
                self._forget_row(change.delivery, newest=newest)
                self.on_through(change.delivery)

    def _forget_row(self, delivery: Delivery, *, newest: bool) -> None:
        if newest and self._let_go(delivery):
            self._budget.remove(delivery)

    def _let_be(self, delivery: Delivery) -> None:
        self._pending.pop(delivery.pair, None)
        if self._let_go(delivery):
            self._budget.remove(delivery)

    def _let_go(self, delivery: Delivery) -> bool:
        """Stop holding *delivery*; tell whether it was held."""
        self._members.difference_update(_members(delivery))
        self._stale.discard(delivery.pair)
        return self._held.pop(delivery.pair, None) is not None

    def _settle(self, delivery: Delivery, how: Settlement) -> None:
        owned = self._partitions.current(delivery.position.partition)
        if owned is None or owned.epoch != delivery.epoch:
            return
        if delivery.is_beside:
            self.on_beside(delivery, how)
        if owned.settle_all(delivery):
            metrics.SETTLED.counts[how] += 1


def _members(delivery: Delivery) -> Iterator[Pair]:
    partition = delivery.position.partition
    for offset, _ in delivery.members:
        yield Position(partition, offset), delivery.subscription_id


def _is_due(change: Park, now: datetime) -> bool:
    if change.waits_for is Waits.TURN:  # its outbox knows when its turn is
        return True
    return change.due_at is not None and change.due_at <= now
