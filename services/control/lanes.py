"""For operators: all lanes, and all partitions with who owns each and how near it is to the edge."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.control.backlog import written_at
from services.control.readers import Readers
from services.kernel.backlog import LaneKey, LaneSeen, OwnedSeen
from services.kernel.clock import Clock
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.broker import Bounds, Offsets
from services.kernel.ports.control import BacklogStore
from services.kernel.value import value


@value
class LaneState:
    """A lane, seen beside its partition."""

    seen: LaneSeen
    end: int
    """Of the log, or where the feed takes over."""
    headroom_seconds: float | None
    """Until retention takes the first record that waits; None: the log keeps it."""

    @property
    def lag(self) -> int:
        """Records from the cursor to the end."""
        return max(0, self.end - self.seen.row.cursor)


@value
class PartitionState:
    """A partition as Kafka and its owner tell of it."""

    partition: Partition
    bounds: Bounds
    committed: int | None
    owned: OwnedSeen | None
    """None: no worker has ever owned it."""
    lanes: int
    headroom_seconds: float | None
    """Until retention takes the first record that isn't settled; None: the log keeps it."""

    @property
    def lag(self) -> int:
        """Records from the committed offset to the end."""
        at = self.bounds.start if self.committed is None else self.committed
        return max(0, self.bounds.end - at)


class Lanes:
    """Puts together what Postgres and Kafka know."""

    def __init__(
        self,
        *,
        store: BacklogStore,
        offsets: Offsets,
        topics: Sequence[str],
        readers: Readers,
        clock: Clock,
    ) -> None:
        self._store = store
        self._offsets = offsets
        self._topics = topics
        self._readers = readers
        self._clock = clock

    async def page(
        self, id_: SubscriptionId | None, *, after: LaneKey | None, limit: int
    ) -> Sequence[LaneState]:
        """Return lanes, newest subscriptions first. Raises BrokerGoneError, StoreGoneError."""
        lanes = await self._store.lanes(id_, after=after, limit=limit)
        if not lanes:
            return []
        partitions = await self._offsets.partitions(self._topics)
        bounds = await self._offsets.bounds(partitions)
        kept = await self._offsets.retention(self._topics)
        now = self._clock.now()
        return [
            LaneState(
                seen=seen,
                end=_end(seen, bounds.get(seen.row.partition)),
                headroom_seconds=_left(seen.row.cursor_at, kept.get(seen.row.partition.topic), now),
            )
            for seen in lanes
        ]

    async def partitions(self) -> Sequence[PartitionState]:
        """Return all partitions. Raises BrokerGoneError, StoreGoneError."""
        known = await self._offsets.partitions(self._topics)
        committed = await self._offsets.committed(known)
        owned = {each.partition: each for each in await self._store.owned()}
        lanes = await self._store.lane_counts()
        bounds = await self._offsets.bounds(known)
        kept = await self._offsets.retention(self._topics)
        at = {p: commit.offset for p, commit in committed.items() if commit is not None}
        behind = {
            p: max(at.get(p, held.start), held.start)
            for p, held in bounds.items()
            if at.get(p, held.start) < held.end
        }
        heads = await written_at(self._readers, behind)
        now = self._clock.now()
        return [
            PartitionState(
                partition=p,
                bounds=bounds[p],
                committed=at.get(p),
                owned=owned.get(p),
                lanes=lanes.get(p, 0),
                # What is at the end of the log now is kept for the whole of its time.
                headroom_seconds=_left(heads.get(p, now), kept.get(p.topic), now),
            )
            for p in known
        ]


def _end(seen: LaneSeen, held: Bounds | None) -> int:
    if seen.row.attach_at is not None:
        return seen.row.attach_at
    return seen.row.cursor if held is None else held.end


def _left(written: datetime, kept: timedelta | None, now: datetime) -> float | None:
    if kept is None:
        return None
    return round(max(0.0, (written + kept - now).total_seconds()), 1)
