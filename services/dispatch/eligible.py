"""Who may be fed live, who may not and why, and whether a lane's subscription may come back."""

from collections.abc import Callable
from urllib.parse import urlsplit

from services.deliver.outboxes import Outboxes
from services.dispatch.lane import Lane
from services.kernel.attempt import Attempt, Outcome
from services.kernel.clock import Clock
from services.kernel.condition import BreakerState, Condition, Trouble
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.kernel.subscription import Mode, Status, Subscription
from services.lanes.outage import Outage
from services.lanes.rest import WELL_SHARE, hold_seconds

UNREACHED = (Outcome.CONNECT, Outcome.DNS)


class Eligible:
    """Judges by what people set, by trouble that outboxes told of, and by what came of attempts."""

    def __init__(
        self,
        *,
        outboxes: Outboxes,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
        hold_seconds: float,
    ) -> None:
        self._outboxes = outboxes
        self._known = known
        self._clock = clock
        self._hold_seconds = hold_seconds
        self.troubled: dict[SubscriptionId, Reason] = {}
        self.leaving: dict[SubscriptionId, None] = {}
        """Those of them that may still have something open in the feed."""
        self._outage = Outage(now=clock.monotonic())

    def trouble(self, id_: SubscriptionId, what: Trouble) -> None:
        """Note that a subscription can't keep up; it is detached at the next look."""
        self.troubled.setdefault(id_, Reason(what.value))
        self.leaving[id_] = None

    def forget(self, id_: SubscriptionId) -> None:
        """Drop what was noted of a deleted subscription."""
        self.troubled.pop(id_, None)

    def recover(self) -> None:
        """Drop those whose trouble is over."""
        for id_ in [id_ for id_ in self.troubled if self._is_over(id_)]:
            del self.troubled[id_]

    def attempted(self, attempt: Attempt, subscription: Subscription) -> None:
        """Note whether a receiver could be reached: if none can, the outage is ours."""
        timed_out = attempt.outcome is Outcome.TIMEOUT and attempt.address is None
        if attempt.outcome in UNREACHED or timed_out:
            host = urlsplit(subscription.url).hostname or ""
            self._outage.failed(host, self._clock.monotonic())
        else:
            self._outage.reached(self._clock.monotonic())

    @property
    def is_our_outage(self) -> bool:
        """Whether no receiver at all can be reached: then the feed waits, and nobody is detached."""
        return self._outage.is_ours(self._clock.monotonic())

    def why_not(self, subscription: Subscription) -> Reason | None:
        """Return why *subscription* may not be fed live now; None where it may."""
        if subscription.status is not Status.ACTIVE:
            paused = subscription.status is Status.PAUSED
            return Reason.PAUSED if paused else Reason.DISABLED
        usual = _usual(subscription)
        if usual is not None:
            return usual
        return self.troubled.get(subscription.id) if self.troubled else None

    def is_well(self, lane: Lane) -> bool:
        """Tell whether *lane*, which has caught up, may be attached."""
        subscription = self._known(lane.subscription_id)
        if subscription is None or self.why_not(subscription) is not None:
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

    def settles_as(self, lane: Lane) -> Reason | None:
        """Return the mode for which *lane* stays, now that it is well and has caught up.

        None where it has that reason already, where there is no such mode, and where it isn't well.
        """
        subscription = self._known(lane.subscription_id)
        usual = None if subscription is None else self.why_not(subscription)
        if usual is None or usual is lane.reason or not usual.is_usual:
            return None
        condition = self._outboxes.condition(lane.subscription_id)
        well = condition is None or (condition.reason is None and _is_reached(condition))
        return usual if well else None

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
