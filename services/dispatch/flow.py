"""The way of an event on one screen: out by `deliver`, back by `settle`. Nothing here awaits."""

from collections.abc import Callable, Sequence
from typing import Protocol

from services.deliver.outbox import Outboxes
from services.dispatch.health import Health
from services.dispatch.masters import Masters
from services.dispatch.order_key import order_of
from services.dispatch.owned import Owned
from services.dispatch.parking import Parking
from services.dispatch.quarantine import Quarantine
from services.dispatch.subscriptions import Subscriptions
from services.dispatch.trouble import Troubles
from services.feed.conform import Conformity
from services.feed.decode import Decoder
from services.kernel.about import NOTHING, About, about
from services.kernel.attempt import Acknowledged, Attempt, Dead, Disable, RetryAt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement, Trigger
from services.kernel.event import Event, Partition, Poison, Record
from services.kernel.ports.history import AttemptLog
from services.kernel.retry import decide, ordered_schedule
from services.kernel.subscription import OnExhausted, Status
from services.match.index import Match
from services.observe import metrics
from services.render import Renderings

REWOUND = "group-reset"
"""`planner-replay` of events that are sent again because a person moved the group's offsets back."""


class Owner(Protocol):
    """Who knows what is owned now."""

    def current(self, partition: Partition) -> Owned | None:
        """Return the partition as it is owned now, if its state is loaded."""


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
        parking: Parking,
        quarantine: Quarantine,
        masters: Masters,
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
        self._parking = parking
        self._quarantine = quarantine
        self._masters = masters
        self._health = health
        self._troubles = troubles
        self._attempts = attempts
        self._schedule = schedule
        self._ordered_schedule = ordered_schedule(schedule)
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._chance = chance

    def deliver(self, owned: Owned, records: Sequence[Record]) -> None:
        """Take registered *records* of one partition to the outboxes."""
        tracker = owned.tracker
        for record in records:
            offset = record.position.offset
            if tracker.is_open(offset):  # else an earlier epoch settled it
                event = self._decode(record)
                if isinstance(event, Poison):
                    self._quarantine.put(owned, record, event)
                elif event is not None:
                    self._conformity.check(event)
                    self._masters.note(owned, event)
                    self._offer(owned, event)
            tracker.matched(offset)

    def _offer(self, owned: Owned, event: Event) -> None:
        renderings, subject = None, NOTHING
        for match in self._subscriptions.match(event):
            if owned.is_due(event, match.subscription):
                if renderings is None:
                    renderings = Renderings(event, max_bytes=self._max_body_bytes)
                    subject = about(event)
                self._open(owned, event, match, renderings, subject)

    def _open(
        self, owned: Owned, event: Event, match: Match, renderings: Renderings, subject: About
    ) -> None:
        subscription = match.subscription
        body, content_type = renderings.get(
            profile=subscription.profile, asked=match.asked, expand=subscription.expand
        )
        replays = owned.replays(event.position.offset)
        delivery = Delivery(
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
            trigger=Trigger.REPLAY if replays else Trigger.LIVE,
            replay=REWOUND if replays else None,
            traceparent=event.traceparent,
            about=subject,
            order=order_of(event, subscription),
        )
        owned.open(event.position.offset, subscription.id, len(body))
        if subscription.status is Status.ACTIVE:
            self._outboxes.deliver(delivery, subscription)
        else:
            self._parking.shelve(delivery, subscription)

    def settle(self, delivery: Delivery, attempt: Attempt) -> None:
        """Take in an answer. Only an acknowledgement settles at once; else a row comes first."""
        metrics.attempted(attempt)
        self._health.note(delivery, attempt)
        self._troubles.note(delivery, attempt)
        owned = self._owner.current(delivery.position.partition)
        if owned is None or owned.epoch != delivery.epoch:
            self._attempts.add(delivery, attempt, None)
            return  # late: whoever owns the partition now goes by the row, or sends it again
        subscription = self._subscriptions.get(delivery.subscription_id)
        if subscription is None:
            self._attempts.add(delivery, attempt, None)
            self._parking.discard(delivery, Settlement.GONE)
            return
        ordered = delivery.order is not None
        schedule = subscription.retry_schedule
        usual = self._ordered_schedule if ordered else self._schedule
        verdict = decide(
            attempt,
            number=delivery.number,
            schedule=usual if schedule is None else schedule,
            now=self._clock.now,
            chance=self._chance,
        )
        self._attempts.add(delivery, attempt, verdict)
        match verdict:
            case Acknowledged():
                metrics.acknowledged(delivery, at=attempt.started_at + attempt.seconds)
                if self._parking.holds(delivery):
                    self._parking.remove(delivery)
                elif owned.settle(
                    delivery.position.offset, delivery.subscription_id, len(delivery.body)
                ):
                    metrics.SETTLED.counts[Settlement.ACKNOWLEDGED] += 1
                self._outboxes.through(delivery)
            case RetryAt(due_at):
                self._parking.park(delivery, attempt, due_at)
            case Dead() if ordered and subscription.on_exhausted is OnExhausted.BLOCK:
                self._parking.block(delivery, attempt)
            case Dead(reason):
                self._parking.bury(delivery, attempt, reason)
                self._troubles.exhausted(delivery, attempt)
            case Disable(reason):
                self._parking.bury(delivery, attempt, reason)
                self._subscriptions.disable(subscription, reason=reason)
