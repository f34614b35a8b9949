"""The way of an event on one screen: out by `deliver`, back by `settle`. Nothing here awaits."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from services.deliver.outboxes import Outboxes
from services.dispatch.batches import Batches
from services.dispatch.counts import Counts
from services.dispatch.detach import Detaching
from services.dispatch.eligible import Eligible
from services.dispatch.expiry import Expiry
from services.dispatch.health import Health
from services.dispatch.lane import Lane, Scan
from services.dispatch.latest import Latest
from services.dispatch.masters import Masters
from services.dispatch.owned import Owned
from services.dispatch.parking import Parking
from services.dispatch.quarantine import Quarantine
from services.dispatch.replays import Replays
from services.dispatch.subscriptions import Subscriptions
from services.dispatch.trouble import Troubles
from services.feed.conform import Conformity
from services.feed.decode import Decoder
from services.kernel.about import NOTHING, About, about
from services.kernel.attempt import (
    Acknowledged,
    Attempt,
    Dead,
    Disable,
    Outcome,
    RetryAt,
    Superseded,
    Verdict,
)
from services.kernel.clock import Clock
from services.kernel.delivery import (
    RESUMED_EARLIER,
    REWOUND,
    Delivery,
    Settlement,
    Trigger,
)
from services.kernel.event import Event, Partition, Poison, Record
from services.kernel.ports.history import AttemptLog
from services.kernel.retry import decide, ordered_schedule
from services.kernel.subscription import Mode, OnExhausted, Status, Subscription
from services.lanes.transitions import State
from services.match.index import Match
from services.match.order_key import order_of
from services.observe import metrics
from services.render import Renderings


class Owner(Protocol):
    """Knows which partitions are owned now."""

    def current(self, partition: Partition) -> Owned | None:
        """Return the partition as it is owned now; None where it isn't, or its state isn't loaded yet."""


class Flow:
    """From records to outboxes, from attempts to settled offsets."""

    def __init__(
        self,
        *,
        owner: Owner,
        decoder: Decoder,
        conformity: Conformity,
        subscriptions: Subscriptions,
        outboxes: Outboxes,
        batches: Batches,
        latest: Latest,
        expiry: Expiry,
        parking: Parking,
        eligible: Eligible,
        detaching: Detaching,
        quarantine: Quarantine,
        replays: Replays,
        masters: Masters,
        counts: Counts,
        health: Health,
        troubles: Troubles,
        attempts: AttemptLog,
        schedule: Sequence[float],
        max_body_bytes: int,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self._owner = owner
        self._decode = decoder.decode
        self._conformity = conformity
        self._subscriptions = subscriptions
        self._outboxes = outboxes
        self._batches = batches
        self._latest = latest
        self._expiry = expiry
        self._parking = parking
        self._eligible = eligible
        self._detaching = detaching
        self._quarantine = quarantine
        self._replays = replays
        self._masters = masters
        self._counts = counts
        self._health = health
        self._troubles = troubles
        self._attempts = attempts
        self._schedule = schedule
        self._ordered_schedule = ordered_schedule(schedule)
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._chance = chance

    def deliver(self, owned: Owned, records: Sequence[Record], *, most: int) -> int:
        """Take registered *records* of one partition to the outboxes; return how many were taken.

        Stops at the first record whose subscriptions have to be prepared for matching, and after
        *most* deliveries.
        """
        tracker = owned.tracker
        enough = tracker.opened + most
        for n, record in enumerate(records):
            offset = record.position.offset
            if tracker.is_open(offset):  # otherwise an earlier epoch settled it
                event = self._decode(record)
                if isinstance(event, Poison):
                    self._quarantine.put(owned, record, event)
                elif event is not None:
                    if not self._subscriptions.is_ready(event):
                        return n
                    self._conformity.check(event)
                    self._masters.note(owned, event)
                    self._offer(owned, event)
            tracker.matched(offset)
            if tracker.opened >= enough:
                return n + 1
        return len(records)

    def _offer(self, owned: Owned, event: Event) -> None:
        renderings, subject = None, NOTHING
        lanes, near, offset = owned.lanes, owned.lanes.near, event.position.offset
        matches = self._subscriptions.match(event)
        self._counts.note(event, matches)
        for match in lanes.fed(matches) if lanes else matches:
            subscription = match.subscription
            lane = near.get(subscription.id) if near else None
            if lane is not None and lane.owns(offset):
                if lane.state is State.DETACHING:  # a placeholder, until its row is durable
                    owned.open(offset, subscription.id, 0)
                continue
            if owned.is_due(event, subscription):
                reason = self._eligible.why_not(subscription)
                if reason is not None:
                    owned.open(offset, subscription.id, 0)
                    self._detaching.detach(owned, subscription.id, reason)
                    continue
                if renderings is None:
                    renderings = Renderings(event, max_bytes=self._max_body_bytes)
                    subject = about(event)
                delivery = self._delivery(owned, event, match, renderings, subject)
                owned.open(offset, subscription.id, len(delivery.body))
                self._outboxes.deliver(delivery, subscription)

    def scan(self, owned: Owned, scan: Scan, record: Record) -> bool:
        """Take a record that a scanner has read to the lanes it reads for.

        Return False where the record's subscriptions have to be prepared for matching first.
        """
        event = self._decode(record)
        if event is None or isinstance(event, Poison):
            return True  # the feed has dealt with it
        if not self._subscriptions.is_ready(event):
            return False
        renderings, subject = None, NOTHING
        offset = record.position.offset
        for match in self._subscriptions.match(event):
            subscription = match.subscription
            lane = scan.members.get(subscription.id)
            if lane is None or offset < lane.position or not lane.owns(offset):
                continue
            if not owned.is_due(event, subscription) or lane.anew.has_passed(event):
                continue
            lane.bound(subscription, probing=self._outboxes.is_probing(subscription.id))
            if lane.is_full:
                lane.fall_off(offset)
                continue
            if renderings is None:
                renderings = Renderings(event, max_bytes=self._max_body_bytes)
                subject = about(event)
            again = RESUMED_EARLIER if lane.anew.is_again(offset) else None
            delivery = self._delivery(owned, event, match, renderings, subject, again)
            is_new = lane.take(offset, len(delivery.body))
            # Not a second time: it may still be in flight from before the lane, or on its way to a row.
            if is_new and offset not in lane.flying and not self._parking.holds(delivery):
                self._pass_on(owned, lane, event, delivery, subscription)
        return True

    def _pass_on(
        self, owned: Owned, lane: Lane, event: Event, delivery: Delivery, subscription: Subscription
    ) -> None:
        """Send an event that *lane* has read, in the mode that its subscription asks for."""
        ages = subscription.max_age_seconds and subscription.delivery.mode is not Mode.LATEST
        if ages and self._expiry.add(owned, lane, event, delivery, subscription):
            return
        match subscription.delivery.mode:
            case Mode.EACH:
                self._outboxes.deliver(delivery, subscription)
            case Mode.BATCH:
                self._batches.add(owned, lane, delivery, subscription)
            case Mode.LATEST:
                self._latest.add(owned, lane, event, delivery, subscription)

    def _delivery(  # noqa: PLR0917 - per event: by position it is faster
        self,
        owned: Owned,
        event: Event,
        match: Match,
        renderings: Renderings,
        subject: About,
        again: str | None = None,
    ) -> Delivery:
        subscription = match.subscription
        body, content_type = renderings.get(
            profile=subscription.profile, asked=match.asked, expand=subscription.expand
        )
        replay = REWOUND if owned.replays(event.position.offset) else again
        return Delivery(
            position=event.position,
            epoch=owned.epoch,
            subscription_id=subscription.id,
            event_id=event.id,
            type=match.asked,
            body=body,
            content_type=content_type,
            key=event.key,
            project_id=event.project_id,
            timestamp_ms=event.timestamp_ms,
            trigger=Trigger.LIVE if replay is None else Trigger.REPLAY,
            replay=replay,
            traceparent=event.traceparent,
            about=subject,
            order=order_of(event, subscription),
        )

    def settle(self, delivery: Delivery, attempt: Attempt) -> None:
        """Take in an answer. An acknowledgement settles at once; anything else becomes a row first."""
        self._latest.landed(delivery, attempt)
        self._settle(delivery, attempt)
        self._latest.go_on(delivery)
        self._expiry.go_on(delivery)

    def _settle(self, delivery: Delivery, attempt: Attempt) -> None:
        metrics.attempted(attempt)
        self._health.note(delivery, attempt)
        self._troubles.note(delivery, attempt)
        owned = self._owner.current(delivery.position.partition)
        if owned is None or owned.epoch != delivery.epoch:
            self._attempts.add(delivery, attempt, None)
            return  # late: whoever owns the partition now goes by the row, or sends it again
        if delivery.is_beside:
            self._replays.answered(delivery, acknowledged=attempt.outcome is Outcome.OK)
        subscription = self._subscriptions.get(delivery.subscription_id)
        if subscription is None:
            self._attempts.add(delivery, attempt, None)
            self._parking.discard(delivery, Settlement.GONE)
            return
        self._eligible.attempted(attempt, subscription)
        verdict = self._decide(delivery, attempt, subscription)
        self._attempts.add(delivery, attempt, verdict)
        self._follow(owned, subscription, delivery, attempt, verdict)

    def _follow(
        self,
        owned: Owned,
        subscription: Subscription,
        delivery: Delivery,
        attempt: Attempt,
        verdict: Verdict,
    ) -> None:
        """Do what was decided."""
        ordered = delivery.order is not None
        match verdict:
            case Acknowledged():
                metrics.acknowledged(delivery, at=attempt.started_at + attempt.seconds)
                self._acknowledged(owned, delivery)
            case RetryAt(due_at) if ordered and delivery.is_beside:
                self._outboxes.through(delivery)  # its replay waits, and what is live does not
                self._replays.again(delivery, attempt, due_at)
            case RetryAt(due_at):
                self._retry(owned, subscription, delivery, attempt, due_at)
            case Superseded():
                self._latest.supersede(owned, delivery)
            case Dead() if (
                ordered
                and subscription.on_exhausted is OnExhausted.BLOCK
                and not delivery.is_beside
            ):
                self._parking.block(delivery, attempt)
            case Dead(reason):
                self._parking.bury(delivery, attempt, reason)
                self._troubles.exhausted(delivery, attempt)
            case Disable(reason):
                self._parking.bury(delivery, attempt, reason)
                self._subscriptions.disable(subscription, reason=reason)

    def _decide(self, delivery: Delivery, attempt: Attempt, subscription: Subscription) -> Verdict:
        """Say what follows from *attempt*."""
        schedule = subscription.retry_schedule
        usual = self._schedule if delivery.order is None else self._ordered_schedule
        verdict = decide(
            attempt,
            number=delivery.number,
            schedule=usual if schedule is None else schedule,
            now=self._clock.now,
            chance=self._chance,
        )
        if isinstance(verdict, RetryAt) and self._latest.is_overtaken(delivery):
            return Superseded()
        return verdict

    def _acknowledged(self, owned: Owned, delivery: Delivery) -> None:
        if self._parking.holds(delivery):
            self._parking.remove(delivery)
        elif owned.settle_all(delivery):
            metrics.SETTLED.counts[Settlement.ACKNOWLEDGED] += 1
        self._outboxes.through(delivery)
        if delivery.is_beside:
            self._replays.settled(delivery, Settlement.ACKNOWLEDGED)

    def _retry(
        self,
        owned: Owned,
        subscription: Subscription,
        delivery: Delivery,
        attempt: Attempt,
        due_at: datetime,
    ) -> None:
        """Try *delivery* again: from the end of its line as a probe, as a row, or from its lane."""
        if delivery.is_beside:
            if not self._parking.park(delivery, attempt, due_at):
                self._replays.again(delivery, attempt, due_at)
            return
        offset = delivery.position.offset
        lane = owned.lane_of(delivery)
        if lane is not None:
            lane.landed(delivery.parts)
            is_probe = (
                owned.active  # let go of, its line was taken back already
                and subscription.status is Status.ACTIVE
                and delivery.order is None
                and lane.tracker.is_open(offset)
                and not self._parking.holds(delivery)
                and self._outboxes.is_probing(subscription.id)
            )
            if is_probe:  # another one is tried next, so that one event can't hold the breaker open
                if not self._latest.again(delivery):
                    self._outboxes.deliver(delivery, subscription)
                return
        if self._parking.park(delivery, attempt, due_at):
            self._latest.parked(delivery)
        else:
            seconds = (due_at - self._clock.now()).total_seconds()
            self._detaching.gave_back(owned, delivery, after_seconds=seconds)
