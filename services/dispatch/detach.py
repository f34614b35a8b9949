"""Out of the feed and back into it: the steps that must not await.

*Detaching*, in one step: the cursor is set to the lowest offset that is open for the subscription, the
offsets settled above it are noted, what is in line is dropped, and what is in flight becomes the
lane's. From then on the feed only adds placeholders. They are settled as covered once the lane's row
is durable (`cursors`), and not before.

*Attaching*, in one step as well: when a lane has read up to the feed's position, it ends there and the
feed takes over. Its row stays until everything below is settled and that position is committed.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.dispatch.wake import Wake
from services.feed.settled_map import SettledMap
from services.kernel.attempt import Attempt, Outcome
from services.kernel.clock import Clock
from services.kernel.condition import BreakerState, Condition, Trouble
from services.kernel.delivery import Delivery, Settlement
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.kernel.subscription import Mode, Status, Subscription
from services.lanes.outage import Outage
from services.lanes.rest import WELL_SHARE, flips_after, hold_seconds
from services.lanes.transitions import Input, State
from services.observe import metrics

log = structlog.get_logger()

LOOK_SECONDS = 0.1
OVER_SECONDS = 0.5
"""How often to check whether trouble is over: thousands of subscriptions may be in some."""
RESUME_SECONDS = 1.0
"""From a resume to the lane's first read, so that retry rows go first."""
HELD_SECONDS = 1.5
"""How long the same offsets must keep a window half full. A burst that flows off doesn't."""
MAX_AT_ONCE = 100
"""How many subscriptions of a partition are detached per look: 1,000 within a second."""
UNREACHED = (Outcome.CONNECT, Outcome.DNS)


class Detaching:
    """Decides who leaves the feed and who comes back, and does it."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        parking: Parking,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
        window_open: int,
        window_deliveries: int,
        hold_seconds: float,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._parking = parking
        self._known = known
        self._clock = clock
        self._half = window_open // 2
        self._half_deliveries = window_deliveries // 2
        self._many_since: float | None = None
        """Since when at least so many deliveries are open."""
        self._hold_seconds = hold_seconds
        self.on_beside: Callable[[Delivery], None] = lambda _: None
        """Called with each delivery of a replay that is taken back out of the line."""
        self._troubled: dict[SubscriptionId, Reason] = {}
        self._leaving: dict[SubscriptionId, None] = {}
        """Those of them that may still have something open in the feed."""
        self._over_at = 0.0
        self._flips: dict[SubscriptionId, tuple[int, float]] = {}
        """How often each was detached in a row, and since when it has been attached again."""
        self.outage = Outage(now=clock.monotonic())
        self.wake = Wake()
        """Rung when there is a row that must be written at once."""

    # What the feed and the outboxes say.

    def trouble(self, id_: SubscriptionId, what: Trouble) -> None:
        """Note that a subscription can't keep up; it is detached at the next look."""
        self._troubled.setdefault(id_, Reason(what.value))
        self._leaving[id_] = None

    def is_wanted(self, subscription: Subscription) -> Reason | None:
        """Return why *subscription* may not be fed live now; None where it may."""
        if subscription.status is not Status.ACTIVE:
            paused = subscription.status is Status.PAUSED
            return Reason.PAUSED if paused else Reason.DISABLED
        usual = _usual(subscription)
        if usual is not None:
            return usual
        return self._troubled.get(subscription.id) if self._troubled else None

    def attempted(self, attempt: Attempt, subscription: Subscription) -> None:
        """Note whether a receiver could be reached: if none can, the outage is ours."""
        timed_out = attempt.outcome is Outcome.TIMEOUT and attempt.address is None
        if attempt.outcome in UNREACHED or timed_out:
            host = urlsplit(subscription.url).hostname or ""
            self.outage.failed(host, self._clock.monotonic())
        else:
            self.outage.reached(self._clock.monotonic())

    @property
    def is_our_outage(self) -> bool:
        """Whether no receiver at all can be reached: then the feed waits, and nobody is detached."""
        return self.outage.is_ours(self._clock.monotonic())

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
        reason = self.is_wanted(subscription) or Reason.PAUSED
        for owned in self._active():
            lane = owned.lanes.get(subscription.id)
            if lane is not None and lane.state is not State.DRAINING:
                self._rest(owned, lane)
            elif lane is not None or owned.tracker.open_of((subscription.id,)):
                self.detach(owned, subscription.id, reason)
            else:
                self._withdraw(owned, subscription.id)

    def read_again(self, id_: SubscriptionId) -> None:
        """Have the subscription's lanes start over from their cursors, because its mode has changed."""
        for owned in self._active():
            lane = owned.lanes.get(id_)
            if lane is not None and lane.state is not State.DRAINING:
                self._rest(owned, lane)

    def resume(self, id_: SubscriptionId) -> None:
        """Let the subscription's lanes read again, after retry rows that are due have had their turn."""
        for owned in self._active():
            lane = owned.lanes.get(id_)
            if lane is not None:
                lane.rests_until = self._clock.monotonic() + RESUME_SECONDS

    def forget(self, id_: SubscriptionId) -> None:
        """Drop the lanes of a deleted subscription, and settle what waits for their rows."""
        self._troubled.pop(id_, None)
        self._flips.pop(id_, None)
        for owned in self._partitions.all():
            lane = owned.lanes.pop(id_, None)
            if lane is not None:
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
        lane.rests_until = max(lane.rests_until, self._clock.monotonic() + after_seconds)

    # Back.

    def reached(self, owned: Owned, lane: Lane) -> None:
        """Attach *lane*, which has read up to the feed's position, unless it has to stay detached."""
        # What an earlier epoch settled further up may have been covered only by this lane.
        if lane.state is not State.CATCHING_UP or lane.position < owned.tracker.known_to:
            return
        if not self._is_well(lane):
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
        subscription = self._known(lane.subscription_id)
        usual = None if subscription is None else self.is_wanted(subscription)
        if usual is None or usual is lane.reason or not usual.is_usual:
            return
        condition = self._outboxes.condition(lane.subscription_id)
        well = condition is None or (condition.reason is None and _is_reached(condition))
        if well:
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

    # What time brings.

    async def run(self) -> None:
        """Look ten times a second, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Detach subscriptions that are in trouble, and those that hold up a window."""
        if self.is_our_outage:
            return
        now = self._clock.monotonic()
        if now >= self._over_at:
            self._over_at = now + OVER_SECONDS
            for id_ in [id_ for id_ in self._troubled if self._is_over(id_)]:
                del self._troubled[id_]
        self._relieve_all(now)
        self._leaving = {id_: None for id_ in self._leaving if id_ in self._troubled}
        left: dict[SubscriptionId, None] = {}
        for owned in self._active():
            if self._leaving:
                left.update(self._detach_troubled(owned))
            self._relieve(owned)
        # Those that have left need no further look: what matches from now on asks `is_wanted`.
        self._leaving = left

    def _detach_troubled(self, owned: Owned) -> dict[SubscriptionId, None]:
        """Detach those that are leaving; return those that have to wait for the next look."""
        leaving = [
            SubscriptionId(id_)
            for id_ in owned.tracker.open_of(self._leaving)
            if (lane := owned.lanes.get(SubscriptionId(id_))) is None
            or lane.state is State.DRAINING
        ]
        # A bounded number: if very many fail at once, everything else needs the loop between two looks.
        for id_ in leaving[:MAX_AT_ONCE]:
            self.detach(owned, id_, self._troubled[id_])
        return dict.fromkeys(leaving[MAX_AT_ONCE:])

    def _relieve(self, owned: Owned) -> None:
        """Where half of the window is open, detach whoever holds the oldest open pair, then the next.

        Not while the window moves: a backlog that is delivered as fast as it is read fills a window too,
        and whoever is detached for that is read twice. Nor a subscription that still doubles its
        concurrency; if it can't keep up even so, `Trouble.WAITED` detaches it.
        """
        now, tracker = self._clock.monotonic(), owned.tracker
        if tracker.open_count < self._half:
            owned.half_full = None
            return
        since, read = owned.half_full or (now, tracker.read_pos)
        if now - since >= HELD_SECONDS and tracker.lowest >= read:
            since, read = now, tracker.read_pos
        owned.half_full = since, read
        waits = any(lane.state is State.DETACHING for lane in owned.lanes.values())
        if now - since < HELD_SECONDS or waits:
            return
        for id_ in owned.tracker.holders(self._half, most=MAX_AT_ONCE):
            found = SubscriptionId(id_)
            if self._known(found) is None or self._outboxes.is_growing(found):
                continue
            lane = owned.lanes.get(found)
            if lane is None or lane.state is State.DRAINING:
                self.detach(owned, found, Reason.WINDOW)

    def _relieve_all(self, now: float) -> None:
        """Let those leave who take nothing, where half of all that may be open is, for a while."""
        if self._partitions.pairs < self._half_deliveries:
            self._many_since = None
            return
        self._many_since = now if self._many_since is None else self._many_since
        if now - self._many_since >= HELD_SECONDS:
            for id_ in self._outboxes.stuck(HELD_SECONDS, most=MAX_AT_ONCE):
                self.trouble(id_, Trouble.FULL)

    # Inside.

    def _active(self) -> list[Owned]:
        return [owned for owned in self._partitions.loaded() if owned.active]

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

    def _is_well(self, lane: Lane) -> bool:
        subscription = self._known(lane.subscription_id)
        if subscription is None or self.is_wanted(subscription) is not None:
            return False
        condition = self._outboxes.condition(lane.subscription_id)
        if condition is not None and not _is_reached(condition):
            return False
        if not lane.reason.is_trouble:
            return True
        stayed = (self._clock.now() - lane.since).total_seconds()
        if stayed < hold_seconds(lane.flips, first=self._hold_seconds):
            return False
        if condition is None:
            return True
        share = condition.success_share
        return condition.reason is None and (share is None or share >= WELL_SHARE)

    def _is_over(self, id_: SubscriptionId) -> bool:
        if self._outboxes.is_troubled(id_):
            return False
        condition = self._outboxes.condition(id_)
        if condition is None:
            return True
        return condition.reason is None and _is_reached(condition)


def _usual(subscription: Subscription) -> Reason | None:
    """Return why a lane is the usual place of *subscription*; None: it isn't."""
    match subscription.delivery.mode:
        case Mode.BATCH:
            return Reason.BATCH
        case Mode.LATEST:
            return Reason.LATEST
        case _:
            return Reason.MAX_AGE if subscription.max_age_seconds else None


def _is_reached(condition: Condition) -> bool:
    """Tell whether a receiver answers: its last probe did, and no delivery waits to be the next one."""
    if condition.breaker is BreakerState.HALF_OPEN:
        return condition.queued == 0 and condition.in_flight == 0
    return condition.breaker is BreakerState.CLOSED
