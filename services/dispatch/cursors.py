"""Lanes become rows: new ones at once, those that moved once a second, in one statement per worker."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

import structlog

from services.dispatch.detach import Detaching
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition
from services.kernel.lane import Drop, Keep, LaneChange
from services.kernel.ports.store.lanes import LaneStore
from services.lanes.transitions import State
from services.observe import metrics

log = structlog.get_logger()

RETRY_SECONDS = 0.5


class _Written(NamedTuple):
    """What a row was made from, to see whether it still holds once it is durable."""

    owned: Owned
    lane: Lane
    generation: int
    covers_all: bool
    drops: bool
    took: int | None


class Cursors:
    """The only place that writes lanes. One write at a time."""

    def __init__(
        self,
        *,
        store: LaneStore,
        partitions: OwnedPartitions,
        detaching: Detaching,
        clock: Clock,
        interval: float,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._detaching = detaching
        self._clock = clock
        self._interval = interval
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Write what moved every interval, until cancelled. Waits out a lost Postgres."""
        while True:
            await self._clock.sleep(self._interval)
            await self._try(moved=True)

    async def run_new(self) -> None:
        """Write what is new as it comes, until cancelled."""
        while True:
            await self._detaching.wake.wait()
            while not await self._try(moved=False):
                await self._clock.sleep(RETRY_SECONDS)

    async def _try(self, *, moved: bool) -> bool:
        try:
            await self.flush(self._partitions.loaded(), moved=moved)
        except StoreGoneError as error:
            log.warning("lanes_wait", error=str(error))
            return False
        return True

    async def flush(self, owned_partitions: Sequence[Owned], *, moved: bool = True) -> None:
        """Write the lanes of these partitions, or raise StoreGoneError; then settle what they cover."""
        async with self._busy:
            changes: list[LaneChange] = []
            made: list[_Written] = []
            for owned in owned_partitions:
                if self._partitions.is_held(owned) and not owned.refused:
                    self._collect(owned, changes, made, moved=moved)
            if not changes:
                return
            try:
                known = self._partitions.writes()
                writes = await self._store.change(changes, known=known)
            except BaseException:
                for one in made:
                    one.lane.dirty = True
                raise
            for owned in {one.owned for one in made}:
                if self._partitions.is_held(owned) and owned.partition in writes:
                    owned.wrote(writes[owned.partition])
            self._durable(made, writes)

    def _collect(
        self, owned: Owned, changes: list[LaneChange], made: list[_Written], *, moved: bool
    ) -> None:
        stirred = owned.lanes.stirred
        for id_, lane in list(stirred.items()):
            if owned.lanes.get(id_) is not lane:
                del stirred[id_]
                continue
            if lane.anew.is_awaited:
                continue
            drops = self._detaching.is_drained(owned, lane)
            is_due = drops or lane.dirty or (moved and lane.tracker.changed)
            # One that drains is looked at until it has: that doesn't depend on itself alone.
            if lane.state is not State.DRAINING and (is_due or not lane.tracker.changed):
                del stirred[id_]
            if not is_due:
                continue
            if drops:
                changes.append(Drop(owned.epoch, owned.partition, id_, lane.anew.takes_start))
            else:
                now = self._clock.monotonic()
                row = lane.row(owned.partition, epoch=owned.epoch, now=now)
                changes.append(Keep(owned.epoch, row, takes_start=lane.anew.takes_start))
            covers_all = lane.attach_at is None
            made.append(
                _Written(owned, lane, lane.generation, covers_all, drops, lane.anew.takes_start)
            )

    def _durable(self, made: Sequence[_Written], taken: Collection[Partition]) -> None:
        written: dict[Owned, list[Lane]] = defaultdict(list)
        for owned, lane, generation, covers_all, drops, took in made:
            if not self._partitions.is_held(owned):
                continue
            if owned.partition not in taken:
                owned.refused = True
            elif owned.lanes.get(lane.subscription_id) is lane and lane.generation == generation:
                if lane.anew.takes_start == took:
                    lane.anew.takes_start = None
                if drops:
                    self._detaching.drained(owned, lane)
                elif covers_all and lane.state is State.DETACHING:
                    written[owned].append(lane)
        for owned, lanes in written.items():
            self._detaching.written(owned, lanes)
        metrics.LANES.set(sum(len(owned.lanes) for owned in self._partitions.loaded()))
