"""A new subscription misses nothing: before it answers, the API promises it all events from some offsets.

As soon as a worker hears of a new subscription, the feed only adds placeholders for it. Then the promise
is looked up, and a lane that begins there takes over, until it has read up to the feed's position.
Partitions that are taken later come with the promises made on them.

A subscription can also begin anew. *Types were added*: the lane reads again from the promised offset,
and skips what was settled of the earlier types. *Rewound*: the lane goes to the promised offset, forward
or back. What is settled afterwards counts, what has a retry row is left to that row, and what is left
out is a gap, recorded before the lane moves.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import structlog

from services.dispatch.detach import Detaching
from services.dispatch.gaps import Gaps
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, StoreGoneError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneGapReason, Reason, Start, StartKind
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.subscription import Subscription

log = structlog.get_logger()

RETRY_SECONDS = 1.0

_Lane: TypeAlias = tuple[Partition, SubscriptionId]


class Starts:
    """Looks up what was promised to whom."""

    def __init__(
        self,
        *,
        store: LaneStore,
        gaps: Gaps,
        partitions: OwnedPartitions,
        detaching: Detaching,
        clock: Clock,
    ) -> None:
        self._store = store
        self._gaps = gaps
        self._partitions = partitions
        self._detaching = detaching
        self._clock = clock
        self._asked: dict[SubscriptionId, None] = {}
        self._wake = Wake()

    def arrived(self, subscription: Subscription) -> None:
        """Hold back what matches a subscription that has just arrived."""
        for owned in self._partitions.all():
            if owned.loaded:
                self._hold_back(owned, subscription.id)
            else:
                owned.arrived.append(subscription.id)

    def begins_anew(self, before: Subscription) -> None:
        """Hold back what matches a subscription that begins elsewhere; *before* is what it was."""
        for owned in self._partitions.all():
            if not owned.loaded:
                owned.begin_anew.append(before)
            elif not owned.closing:
                self._hold_anew(owned, before)

    def begun(self, owned: Owned) -> None:
        """Hold back what matches those that arrived while the partition was loading.

        Promises that came with it become lanes at once: nothing is read for them before their row.
        """
        if any(lane.dirty for lane in owned.lanes.stirred.values()):
            self._detaching.wake.set()
        for id_, lane in owned.lanes.items():
            if lane.anew.is_awaited:
                self._ask(id_)
        for id_ in owned.arrived:
            self._hold_back(owned, id_)
        for before in owned.begin_anew:
            self._hold_anew(owned, before)
        owned.arrived.clear()
        owned.begin_anew.clear()

    async def run(self) -> None:
        """Look up what is asked for, until cancelled. Waits out a lost Postgres."""
        while True:
            await self._wake.wait()
            while self._asked:
                ids = list(self._asked)
                self._asked.clear()  # what is asked for from here on is looked up once more
                try:
                    await self.look_up(ids)
                except (StoreGoneError, BrokerGoneError) as error:
                    self._asked.update(dict.fromkeys(ids))
                    log.warning("starts_wait", error=str(error))
                    await self._clock.sleep(RETRY_SECONDS)

    async def look_up(self, ids: Sequence[SubscriptionId]) -> None:
        """Turn promises into lanes. Raises StoreGoneError, BrokerGoneError."""
        waiting = [
            (owned, lane, lane.anew.asked)
            for owned in self._partitions.loaded()
            for id_ in ids
            if (lane := owned.lanes.get(id_)) is not None and lane.anew.is_awaited
        ]
        partitions = list(dict.fromkeys(owned.partition for owned, _, _ in waiting))
        found, rows = await self._found(partitions, ids)
        for owned, lane, _ in waiting:
            start = found.get((owned.partition, lane.subscription_id))
            if start is not None and start.kind is StartKind.REWIND:
                await self._leap(owned, lane, start)
        for owned, lane, asked in waiting:
            id_ = lane.subscription_id
            if owned.lanes.get(id_) is not lane or not lane.anew.is_awaited:
                continue
            if lane.anew.asked != asked:
                continue  # a person was faster: what was found is not the last word
            start = found.get((owned.partition, id_))
            if start is not None and start.kind is StartKind.REWIND:
                owned.ask_again(id_)
            lane.begin_at(start, rows=rows[owned.partition, id_])
        self._detaching.wake.set()

    async def _found(
        self, partitions: Sequence[Partition], ids: Sequence[SubscriptionId]
    ) -> tuple[dict[_Lane, Start], dict[_Lane, list[int]]]:
        """Return what was promised, and which offsets a row stands for where that matters."""
        rows: dict[_Lane, list[int]] = defaultdict(list)
        if not partitions:
            return {}, rows
        starts = await self._store.starts(partitions, ids)
        rewound = [s.subscription_id for s in starts if s.kind is StartKind.REWIND]
        if rewound:
            for position, id_ in await self._store.rows(partitions, rewound):
                rows[position.partition, id_].append(position.offset)
        return {(start.partition, start.subscription_id): start for start in starts}, rows

    async def _leap(self, owned: Owned, lane: Lane, start: Start) -> None:
        """Record the gap where a person moved a subscription forward."""
        since = lane.tracker.lowest
        if start.since is not None:  # nobody began there
            since = min(since, start.since)
        if since < start.offset and owned.lanes.get(lane.subscription_id) is lane:
            await self._gaps.keep(
                owned, lane, since=since, to=start.offset, reason=LaneGapReason.SKIPPED
            )

    def _hold_back(self, owned: Owned, id_: SubscriptionId) -> None:
        if id_ in owned.lanes:
            return  # it came with the partition
        # The owner before may have taken its promise over: what is open of it then is read again here.
        lane = owned.lanes[id_] = Lane(
            id_,
            known=owned.tracker.known_but(()),
            reason=Reason.NEW,
            since=self._clock.now(),
        )
        lane.anew.wait(None)
        self._ask(id_)

    def _hold_anew(self, owned: Owned, before: Subscription) -> None:
        lane = owned.lanes.get(before.id)
        if lane is None or not lane.anew.is_awaited:
            lane = self._detaching.detach(owned, before.id, Reason.CHANGED)
            lane.anew.wait(before)
        lane.anew.asked += 1
        self._ask(before.id)

    def _ask(self, id_: SubscriptionId) -> None:
        self._asked[id_] = None
        self._wake.set()
