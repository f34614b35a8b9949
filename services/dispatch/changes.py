"""A subscription changed: what that means for what is queued for it."""

from services.deliver.outboxes import Outboxes
from services.dispatch.budget import Budget
from services.dispatch.detach import Detaching
from services.dispatch.health import Health
from services.dispatch.parking import Parking
from services.dispatch.starts import Starts
from services.kernel.delivery import Settlement
from services.kernel.subscription import Mode, Status, Subscription


class Changes:
    """Called by `Subscriptions`, synchronously, between two events."""

    def __init__(
        self,
        *,
        outboxes: Outboxes,
        parking: Parking,
        detaching: Detaching,
        starts: Starts,
        budget: Budget,
        health: Health,
    ) -> None:
        self._outboxes = outboxes
        self._parking = parking
        self._detaching = detaching
        self._starts = starts
        self._budget = budget
        self._health = health

    def __call__(self, before: Subscription | None, after: Subscription | None) -> None:
        """Take the change over to outboxes, lanes and rows."""
        if before is None:
            if after is not None:
                self._starts.arrived(after)
            return
        if after is not None and after.forgiven_ms != before.forgiven_ms:
            self._health.forget(after.id)
        if after is None:
            for delivery in self._outboxes.forget(before.id):
                self._parking.discard(delivery, Settlement.GONE)
            self._outboxes.forget_keys(before.id)
            self._detaching.forget(before.id)
            self._budget.forget(before.id)
            self._health.forget(before.id)
            return
        if after.epoch != before.epoch:
            self._starts.begins_anew(before)
        modes = {before.delivery.mode, after.delivery.mode}
        differs = before.max_age_seconds != after.max_age_seconds
        if differs or (len(modes) > 1 and (Mode.LATEST in modes or after.max_age_seconds)):
            self._detaching.read_again(after.id)
        if after.status is Status.ACTIVE:
            self._outboxes.update(after)
            if before.status is not Status.ACTIVE:
                self._detaching.resume(after.id)
        else:
            self._detaching.stop(after)
