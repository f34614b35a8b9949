"""A new subscription misses nothing: the API promised it events from offsets on, before it answered.

As soon as a worker hears of one, the feed only adds placeholders for it; then the promise is looked
up, and a lane from there takes over. It is attached when it has read to where the feed is. Partitions
that are taken later come with what was promised on them.
"""

import structlog

from services.dispatch.detach import Detaching
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.wake import Wake
from services.feed.settled_map import SettledMap
from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason, Start
from services.kernel.ports.store import LaneStore
from services.kernel.subscription import Subscription

log = structlog.get_logger()

RETRY_SECONDS = 1.0


class Starts:
    """Looks up what was promised to whom."""

    def __init__(
        self,
        *,
        store: LaneStore,
        partitions: OwnedPartitions,
        detaching: Detaching,
        clock: Clock,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._detaching = detaching
        self._clock = clock
        self._asked: dict[SubscriptionId, None] = {}
        self._wake = Wake()

    def arrived(self, subscription: Subscription) -> None:
        """Hold back what matches a subscription that was just heard of."""
        for owned in self._partitions.all():
            if owned.loaded:
                self._hold_back(owned, subscription.id)
            else:
                owned.arrived.append(subscription.id)

    def begun(self, owned: Owned) -> None:
        """Hold back what matches those that were heard of while the partition was loading."""
        for id_ in owned.arrived:
            self._hold_back(owned, id_)
        owned.arrived.clear()

    async def run(self) -> None:
        """Look up what is asked for, until cancelled. Waits out a lost Postgres."""
        while True:
            await self._wake.wait()
            while self._asked:
                try:
                    await self.look_up()
                except StoreGoneError as error:
                    log.warning("starts_wait", error=str(error))
                    await self._clock.sleep(RETRY_SECONDS)

    async def look_up(self) -> None:
        """Turn promises into lanes. Raises StoreGoneError."""
        ids = list(self._asked)
        waiting = [
            (owned, lane)
            for owned in self._partitions.loaded()
            for id_ in ids
            if (lane := owned.lanes.get(id_)) is not None and lane.awaits_start
        ]
        found: dict[tuple[Partition, SubscriptionId], Start] = {}
        if waiting:
            partitions = list(dict.fromkeys(owned.partition for owned, _ in waiting))
            starts = await self._store.starts(partitions, ids)
            found = {(start.partition, start.subscription_id): start for start in starts}
        for id_ in ids:
            self._asked.pop(id_, None)
        for owned, lane in waiting:
            if owned.lanes.get(lane.subscription_id) is lane:
                lane.begin_at(found.get((owned.partition, lane.subscription_id)))
        self._detaching.wake.set()

    def _hold_back(self, owned: Owned, id_: SubscriptionId) -> None:
        if id_ in owned.lanes:
            return  # it came with the partition
        end = owned.tracker.known_but(()).end
        lane = owned.lanes[id_] = Lane(
            id_,
            known=SettledMap(end - 1, end, frozenset()),
            reason=Reason.NEW,
            since=self._clock.now(),
        )
        lane.awaits_start = True
        self._asked[id_] = None
        self._wake.set()
