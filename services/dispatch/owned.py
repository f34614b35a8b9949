"""One owned partition under one epoch."""

import math
from collections.abc import Mapping
from datetime import datetime

from services.dispatch.lane import Lane, Scan, lane_of, started
from services.dispatch.lanes import Lanes
from services.feed.ages import Ages
from services.feed.start import Start
from services.feed.tracker import Tracker
from services.kernel.delivery import Delivery
from services.kernel.event import Event, Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason, StartKind
from services.kernel.lane import Start as Promise
from services.kernel.operation import OPERATIONAL
from services.kernel.ports.store.partitions import Assignment
from services.kernel.ports.store.retries import LineKey
from services.kernel.subscription import Subscription
from services.lanes.transitions import State


class Owned:
    """What a worker holds of a partition, from assign to revoke.

    Made when the group assigns the partition; `begin` follows once its state is loaded, and nothing is
    taken in before. Code that awaits checks `current` afterwards: an epoch belongs to this object, not
    to the partition.
    """

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.epoch = 0
        self.tracker = Tracker(start=0)
        self.ages = Ages()
        self.loaded = False
        self.closing = False
        """Being let go of: nothing new is taken in, and queued deliveries aren't sent."""
        self.paused = False
        """The consumer fetches no more of it, since its window is full."""
        self.half_full: tuple[float, int] | None = None
        """Since when half of the window has been open, monotonic, and the next offset to read then."""
        self.held_bytes = 0
        """The total size of the bodies of open deliveries."""
        self.committed: int | None = None
        """The committed offset that Kafka has."""
        self.refused = False
        """Postgres refused a write: another worker bumped the epoch. Reload, if still a member."""
        self.writes = 0
        """Postgres's count of writes to this partition, as of our last successful one."""
        self.lanes = Lanes()
        """Subscriptions that are not fed live: one look-up per delivery in the feed."""
        self.scans: list[Scan] = []
        self.turn = 0
        self.arrived: list[SubscriptionId] = []
        """Subscriptions that arrived while this was loading."""
        self.begin_anew: list[Subscription] = []
        """Those that were told to begin elsewhere while this was loading, as they were before."""
        self._replay_below = 0
        self._settled: dict[tuple[int, str], str | None] = {}
        self._settled_to = -1
        """The highest offset of these: above it nobody asks for them."""
        self._bytes: dict[int, int] = {}
        """The size of the bodies of each open offset."""

    def begin(
        self,
        start: Start,
        assignment: Assignment,
        *,
        begins: Mapping[SubscriptionId, int],
        now: datetime,
    ) -> None:
        """Take the state that was loaded; from now on records are taken in.

        Lanes that *start* moves back go no further than to where their subscription *begins*.
        """
        self.epoch, self.writes = assignment.epoch, assignment.writes
        self.tracker = Tracker(start=start.offset, settled=start.settled)
        self.ages = Ages()
        # Commit at once: after a person's reset the metadata becomes ours again.
        self.tracker.changed = True
        self._replay_below = start.replay_below or 0
        if start.trust_rows:
            self._settled = {
                (row.offset, row.subscription_id): row.event_id
                for row in assignment.settled
                if start.trust_dead or not row.dead
            }
            self._settled_to = max((offset for offset, _ in self._settled), default=-1)
        for row in assignment.lanes:
            id_, moved_below = row.subscription_id, start.moves_lanes_to
            if moved_below is not None:
                moved_below = max(moved_below, begins.get(id_, 0))
            lane = self.lanes[id_] = lane_of(row, moved_below=moved_below)
            if lane.state is State.DRAINING and lane.is_ready:
                # What is left below the point of attachment goes first: the feed must not overtake it.
                lane.start_over(self.tracker.known_but(lane.left, above=lane.attach_at or 0), {})
                lane.state = State.DETACHING
        for promised in assignment.starts:
            if promised.kind is not StartKind.NEW or promised.subscription_id in self.lanes:
                self._begins_anew(promised, now)
            else:
                self.lanes[promised.subscription_id] = started(promised, now=now)
        self.refused = False
        self.loaded = True

    def _begins_anew(self, promised: Promise, now: datetime) -> None:
        """Hold back a subscription until it is known where it begins, and what that skips is recorded."""
        id_ = promised.subscription_id
        lane = self.lanes.get(id_)
        if lane is None:
            known = self.tracker.known_but(())
            lane = self.lanes[id_] = Lane(id_, known=known, reason=Reason.CHANGED, since=now)
        elif lane.state is State.DRAINING:
            lane.start_over(self.tracker.known_but(lane.left, above=lane.attach_at or 0), {})
            lane.state = State.DETACHING
        lane.anew.wait(None)

    def wrote(self, writes: int) -> None:
        """Note Postgres's count of writes, before any commit relies on the last of them.

        Postgres counts, not we: a write whose answer got lost may have come through, and our own count,
        without it, would not reveal that Postgres was restored from a dump older than that write.
        """
        self.writes = max(self.writes, writes)

    @property
    def active(self) -> bool:
        """Whether records are taken in and deliveries sent."""
        return self.loaded and not self.closing

    def replays(self, offset: int) -> bool:
        """Tell whether *offset* was delivered before a person moved the group back."""
        return offset < self._replay_below

    def is_due(self, event: Event, subscription: Subscription) -> bool:
        """Tell whether a matching event is due.

        Not if a row stands for it, if it is older than the subscription, or if it is about the
        subscription itself.
        """
        offset = event.position.offset
        if event.type.startswith(OPERATIONAL) and is_about(event, subscription):
            return False  # otherwise each failure would cause another request
        if offset <= self._settled_to and self._is_settled(event, subscription):
            if self.tracker.is_open(offset):  # not where a lane reads it
                self.tracker.has_row(offset)
            return False
        # Nobody is sent events from before its subscription because a person moved the group back.
        return not self.replays(offset) or event.timestamp_ms >= subscription.begins_ms

    def _is_settled(self, event: Event, subscription: Subscription) -> bool:
        """Tell whether a row that was loaded with the partition stands for it."""
        row = self._settled.get((event.position.offset, subscription.id), "")
        return row in (event.id, None)

    def ask_again(self, id_: SubscriptionId) -> None:
        """Forget the rows that were loaded with the partition: a person wants all of it again."""
        self._settled = {key: row for key, row in self._settled.items() if key[1] != id_}

    def open(self, offset: int, subscription_id: SubscriptionId, size: int) -> None:
        """Note a delivery of *size* bytes that now has to be settled."""
        self.tracker.open(offset, subscription_id)
        self.held_bytes += size
        self._bytes[offset] = self._bytes.get(offset, 0) + size

    def settle(self, offset: int, subscription_id: SubscriptionId, size: int) -> bool:
        """Settle a delivery, of the feed or of a lane; tell whether it was open."""
        was_open = self.cover(offset, subscription_id)
        # What the feed has open no lane has but one that is near, and hardly ever is there one.
        lane = (self.lanes.near if was_open else self.lanes).get(subscription_id)
        if lane is not None and lane.owns(offset):
            return lane.settle(offset, size) or was_open
        return was_open

    def settle_all(self, delivery: Delivery) -> bool:
        """Settle *delivery*, of a batch all of its events; tell whether any was open."""
        if not delivery.members:
            size = len(delivery.body)
            return self.settle(delivery.position.offset, delivery.subscription_id, size)
        id_ = delivery.subscription_id
        return sum(self.settle(part.offset, id_, part.size) for part in delivery.members) > 0

    def cover(self, offset: int, subscription_id: SubscriptionId) -> bool:
        """Settle a pair in the feed only: a lane has taken it over."""
        if not self.tracker.settle(offset, subscription_id):
            return False
        if not self.tracker.is_open(offset):
            self.held_bytes -= self._bytes.pop(offset, 0)
        return True

    def lane_of(self, delivery: Delivery) -> Lane | None:
        """Return the lane that *delivery* belongs to; None: it is the feed's."""
        lane = self.lanes.get(delivery.subscription_id)
        return lane if lane is not None and lane.owns(delivery.position.offset) else None

    def reads_again(self, delivery: Delivery) -> bool:
        """Tell whether a lane has yet to reach *delivery*, and will then send it."""
        lane = self.lane_of(delivery)
        return lane is not None and lane.position <= delivery.position.offset

    def waits_for(self, delivery: Delivery) -> bool:
        """Tell whether *delivery* is open."""
        offset, id_ = delivery.position.offset, delivery.subscription_id
        lane = self.lane_of(delivery)
        return self.tracker.waits_for(offset, id_) or (lane is not None and lane.waits_for(offset))

    def __repr__(self) -> str:
        state = "closing" if self.closing else "loaded" if self.loaded else "loading"
        return f"<Owned {self.partition} epoch {self.epoch} {state} {self.tracker!r}>"


class OwnedPartitions:
    """All partitions that the group has given to this worker, loaded or not."""

    def __init__(self) -> None:
        self._owned: dict[Partition, Owned] = {}

    def add(self, partition: Partition) -> Owned:
        """Begin to hold *partition*; what was held of it before is over."""
        owned = self._owned[partition] = Owned(partition)
        return owned

    def drop(self, owned: Owned) -> None:
        """End *owned*, if it has not been replaced already."""
        if self._owned.get(owned.partition) is owned:
            del self._owned[owned.partition]

    def is_held(self, owned: Owned) -> bool:
        """Tell whether *owned* still stands: ask after every await."""
        return self._owned.get(owned.partition) is owned

    def stands(self, owned: Owned, lane: Lane) -> bool:
        """Tell whether *owned* is being delivered and *lane* is still one of its lanes."""
        held = self.is_held(owned) and owned.active
        return held and owned.lanes.get(lane.subscription_id) is lane

    def current(self, partition: Partition) -> Owned | None:
        """Return the partition as it is owned now, if its state is loaded."""
        owned = self._owned.get(partition)
        return owned if owned is not None and owned.loaded else None

    @property
    def pairs(self) -> int:
        """Deliveries that the feed has open, of all partitions."""
        return sum(owned.tracker.pairs for owned in self._owned.values())

    def writes(self) -> dict[Partition, int]:
        """Return how many writes of each partition are known to be in Postgres."""
        return {owned.partition: owned.writes for owned in self.loaded()}

    def barrier(self, line: LineKey) -> float:
        """Return the offset at and above which nothing of a key may go out yet.

        This matters after taking over a lane that was being drained: the feed continues above it while
        earlier events of the key are still to be read for the lane.
        """
        owned = self.current(line.partition)
        lane = owned.lanes.get(line.subscription_id) if owned is not None else None
        if lane is None or lane.attach_at is None or lane.position >= lane.attach_at:
            return math.inf
        return lane.attach_at

    def held(self, partition: Partition) -> Owned | None:
        """Return the partition as it is owned now, loaded or not."""
        return self._owned.get(partition)

    def loaded(self) -> list[Owned]:
        """Return those whose state is loaded."""
        return [owned for owned in self._owned.values() if owned.loaded]

    def active(self) -> list[Owned]:
        """Return those that are being delivered."""
        return [owned for owned in self._owned.values() if owned.loaded and owned.active]

    def all(self) -> list[Owned]:
        """Return all of them."""
        return list(self._owned.values())

    def epochs(self) -> dict[Partition, int]:
        """Return the epochs of the partitions that are being delivered."""
        return {owned.partition: owned.epoch for owned in self._owned.values() if owned.active}


def is_about(event: Event, subscription: Subscription) -> bool:
    """Tell whether an operational event is about the very subscription it would go to."""
    return bool(event.body["data"].get("subscription_id") == subscription.id)
