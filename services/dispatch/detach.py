"""Out of the feed and back into it: the steps that must not await.

*Detaching*, in one step: the cursor is set to the lowest offset that is open for the subscription, the
offsets settled above it are noted, what is in line is dropped, and what is in flight becomes the
lane's. From then on the feed only adds placeholders. They are settled as covered once the lane's row
is durable (`cursors`), and not before.

*Attaching*, in one step as well: when a lane has read up to the feed's position, it ends there and the
feed takes over. Its row stays until everything below is settled and that position is committed.
"""

from collections.abc import Callable

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.eligible import Eligible
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.wake import Wake
from services.feed.settled_map import SettledMap
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.kernel.subscription import Subscription
from services.lanes.rest import flips_after
from services.lanes.transitions import Input, State
from services.observe import metrics

log = structlog.get_logger()

RESUME_SECONDS = 1.0
"""From a resume to the lane's first read, so that retry rows go first."""


class Detaching:
    """Takes subscriptions out of the feed and lets them back in; `Eligible` says who may be fed."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        parking: Parking,
        eligible: Eligible,
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._parking = parking
        self._eligible = eligible
        self._clock = clock
        self.on_beside: Callable[[Delivery], None] = lambda _: None
        """Called with each delivery of a replay that is taken back out of the line."""
        self._flips: dict[SubscriptionId, tuple[int, float]] = {}
        """How often each was detached in a row, and since when it has been attached again."""
        self.wake = Wake()
        """Rung when there is a row that must be written at once."""

    # Out.

    def detach(self, owned: Owned, id_: SubscriptionId, reason: Reason) -> Lane:
        """Take a subscription out of the feed of a partition; a lane it already has starts over."""
        lane = owned.lanes.get(id_)
        if lane is None:
            known, flying = self._taken_back(owned, id_, None)
            lane = owned.lanes[id_] = Lane(
                id_,
                known=known,
                reason=reason,
                since=self._clock.now(),
                flips=self._next_flip(id_) if reason.is_trouble else 1,
                flying=flying,
            )
        else:
            known, flying = self._taken_back(owned, id_, lane)
            lane.happens(Input.DETACH)
            lane.start_over(known, flying)
            lane.reason, lane.since = reason, self._clock.now()
            if reason.is_trouble:
                lane.flips += 1
        metrics.LANES_DETACHED.counts[reason] += 1
        log.info(
            "lane_detached",
            subscription_id=id_,
            partition=str(owned.partition),
            reason=reason.value,
            cursor=lane.tracker.lowest,
        )
        self.wake.set()
        return lane

    def stop(self, subscription: Subscription) -> None:
        """Take a paused or disabled subscription out of every partition where it has something open."""
        reason = self._eligible.why_not(subscription) or Reason.PAUSED
        for owned in self._partitions.active():
            lane = owned.lanes.get(subscription.id)
            if lane is not None and lane.state is not State.DRAINING:
                self._rest(owned, lane)
            elif lane is not None or owned.tracker.open_of((subscription.id,)):
                self.detach(owned, subscription.id, reason)
            else:
                self._withdraw(owned, subscription.id)

    def read_again(self, id_: SubscriptionId) -> None:
        """Have the subscription's lanes start over from their cursors, because its mode has changed."""
        for owned in self._partitions.active():
            lane = owned.lanes.get(id_)
            if lane is not None and lane.state is not State.DRAINING:
                self._rest(owned, lane)

    def resume(self, id_: SubscriptionId) -> None:
        """Let the subscription's lanes read again, after retry rows that are due have had their turn."""
        for owned in self._partitions.active():
            lane = owned.lanes.get(id_)
            if lane is not None:
                lane.rest(self._clock.monotonic() + RESUME_SECONDS)

    def forget(self, id_: SubscriptionId) -> None:
        """Drop the lanes of a deleted subscription, and settle what waits for their rows."""
        self._eligible.forget(id_)
        self._flips.pop(id_, None)
        for owned in self._partitions.all():
            lane = owned.lanes.get(id_)
            if lane is not None:
                del owned.lanes[id_]
                lane.leave()
                for offset in owned.tracker.open_of((id_,)).get(id_, ()):
                    owned.cover(offset, id_)

    def gave_back(self, owned: Owned, delivery: Delivery, *, after_seconds: float) -> None:
        """Take *delivery*, which failed and has no room for a row: its lane reads it again later."""
        id_ = delivery.subscription_id
        lane = owned.lane_of(delivery)
        if lane is None:
            lane = self.detach(owned, id_, Reason.BUDGET)
        elif delivery.position.offset < lane.position:
            self._rest(owned, lane)
        lane.rest(max(lane.rests_until, self._clock.monotonic() + after_seconds))

    # Back.

    def reached(self, owned: Owned, lane: Lane) -> None:
        """Attach *lane*, which has read up to the feed's position, unless it has to stay detached."""
        # What an earlier epoch settled further up may have been covered only by this lane.
        if lane.state is not State.CATCHING_UP or lane.position < owned.tracker.known_to:
            return
        if not self._eligible.is_well(lane):
            self._settle_down(lane)
            return
        lane.happens(Input.FLIP)
        lane.attach_at = lane.position
        lane.dirty = True
        lane.leave()
        self.wake.set()
        log.info(
            "lane_attached",
            subscription_id=lane.subscription_id,
            partition=str(owned.partition),
            at=lane.attach_at,
        )

    def _settle_down(self, lane: Lane) -> None:
        """Give a caught-up lane of a batch or latest subscription that mode as its reason."""
        usual = self._eligible.settles_as(lane)
        if usual is not None:
            lane.reason, lane.since, lane.flips = usual, self._clock.now(), 1
            lane.dirty = True

    def is_drained(self, owned: Owned, lane: Lane) -> bool:
        """Tell whether the row of *lane* may be deleted."""
        end = lane.attach_at
        return (
            lane.state is State.DRAINING
            and end is not None
            and lane.position >= end
            and lane.tracker.open_count == 0
            and owned.committed is not None
            and owned.committed >= end
        )

    def drained(self, owned: Owned, lane: Lane) -> None:
        """Forget *lane*: its row is deleted."""
        lane.happens(Input.DRAINED)
        if owned.lanes.get(lane.subscription_id) is lane:
            del owned.lanes[lane.subscription_id]
        if lane.reason.is_trouble:
            self._flips[lane.subscription_id] = lane.flips, self._clock.monotonic()

    def written(self, owned: Owned, lanes: list[Lane]) -> None:
        """Settle as covered what the feed holds for these lanes, now that their rows are durable."""
        detaching = [lane for lane in lanes if lane.state is State.DETACHING]
        if not detaching:
            return
        for lane in detaching:
            lane.happens(Input.WRITTEN)
        found = owned.tracker.open_of({lane.subscription_id for lane in detaching})
        for lane in detaching:
            for offset in found.get(lane.subscription_id, ()):
                if owned.cover(offset, lane.subscription_id):
                    metrics.SETTLED.counts[Settlement.COVERED] += 1

    # Inside.

    def _rest(self, owned: Owned, lane: Lane) -> None:
        """Have *lane* start over from its cursor when it is read again."""
        end = lane.attach_at
        known, flying = self._taken_back(owned, lane.subscription_id, lane)
        lane.happens(Input.DETACH if lane.state is State.DRAINING else Input.REST)
        lane.start_over(known, flying)
        if end is not None:
            self.wake.set()

    def _taken_back(
        self, owned: Owned, id_: SubscriptionId, lane: Lane | None
    ) -> tuple[SettledMap, dict[int, int]]:
        """Take back what is in line; return what is settled, and what is in flight with its bytes."""
        self._withdraw(owned, id_)
        flying = {
            part.offset: part.size
            for delivery in self._outboxes.in_flight_of(id_, owned.partition)
            for part in delivery.parts
            if delivery.epoch == owned.epoch and not delivery.is_beside
        }
        if lane is not None and lane.attach_at is None:
            return lane.tracker.known, flying
        own = list(owned.tracker.open_of((id_,)).get(id_, ()))
        if lane is not None:
            if lane.is_ready:  # not read up to its end: what the feed knows above it doesn't join
                return lane.tracker.known, flying
            own += lane.left
        above = 0 if lane is None else lane.attach_at or 0
        return owned.tracker.known_but(own, above=above), flying

    def _withdraw(self, owned: Owned, id_: SubscriptionId) -> None:
        for delivery in self._outboxes.withdraw_from(id_, owned.partition):
            if delivery.is_beside:
                self.on_beside(delivery)
            elif self._parking.holds(delivery):
                self._parking.put_back(delivery)

    def _next_flip(self, id_: SubscriptionId) -> int:
        flips, attached_at = self._flips.get(id_, (0, 0.0))
        return flips_after(flips, self._clock.monotonic() - attached_at)
