"""Failures in a row, per subscription, as the API shows them."""

from datetime import UTC, datetime

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.errors import StoreGoneError
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.health import HealthRow, HealthStore


class Health:
    """Counts in memory; one statement every two seconds, with what changed."""

    def __init__(self, *, store: HealthStore, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._failing: dict[SubscriptionId, HealthRow] = {}
        self._changed: dict[SubscriptionId, HealthRow] = {}

    def note(self, delivery: Delivery, attempt: Attempt) -> None:
        """Take in one attempt. A success of a healthy subscription costs one look-up."""
        id_ = delivery.subscription_id
        before = self._failing.get(id_)
        if attempt.outcome is Outcome.OK:
            if before is not None:
                del self._failing[id_]
                self._changed[id_] = before._replace(failure_count=0)
            return
        since = before.since if before else datetime.fromtimestamp(attempt.started_at, tz=UTC)
        count = before.failure_count + 1 if before else 1
        row = HealthRow(id_, count, attempt.outcome.value, attempt.status, since)
        self._failing[id_] = self._changed[id_] = row

    def forget(self, id_: SubscriptionId) -> None:
        """Drop what is known of a deleted subscription."""
        self._failing.pop(id_, None)
        self._changed.pop(id_, None)

    async def report(self, *, partitions: int) -> None:
        """Write what changed. What can't be written now is written next time."""
        changed, self._changed = self._changed, {}
        try:
            await self._store.report(
                worker=self._worker, partitions=partitions, rows=list(changed.values())
            )
        except StoreGoneError:
            self._changed = changed | self._changed
