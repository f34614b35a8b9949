"""Tables `health`, `workers` and `trouble`: what workers say of themselves and of receivers."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from services.kernel.ids import SubscriptionId


class HealthRow(NamedTuple):
    """What one worker knows of one unhealthy subscription."""

    subscription_id: SubscriptionId
    failure_count: int
    """Failures in a row; 0 deletes the row."""
    outcome: str
    status: int | None
    since: datetime
    """Of the first failure in that row."""


class HealthStore(Protocol):
    """Tables `health` and `workers`: what the API knows of the workers."""

    async def report(self, *, worker: str, partitions: int, rows: Sequence[HealthRow]) -> None:
        """Upsert the changed rows of this worker and its sign of life, in one statement."""


class Troubled(NamedTuple):
    """What one worker saw of one subscription that fails, since it last reported."""

    subscription_id: SubscriptionId
    since: datetime
    """Of the first failure."""
    failed_at: datetime | None
    """Of the last failure that counts towards switching off; None: there was none."""
    reason: str | None
    """Why it is failing from now on; None: single failures so far."""


class TroubleReport(NamedTuple):
    """What follows from a report, and is told: the operational events are kept already."""

    failing: Mapping[SubscriptionId, str]
    """Not said to be failing before, and why."""
    recovered: Collection[SubscriptionId]
    """Said to be failing before, and well again: a success came last, and nothing waits."""
    troubled: Collection[SubscriptionId]
    """Whose successes are worth a note."""


class TroubleStore(Protocol):
    """Table `trouble`, shared by all workers: each step is told by one of them, once."""

    async def report_trouble(
        self,
        failed: Sequence[Troubled],
        succeeded: Mapping[SubscriptionId, datetime],
        *,
        now: datetime,
    ) -> TroubleReport:
        """Take in, in one transaction, what was noted; say what follows.

        What is disabled or deleted is in no trouble any more.
        """

    async def hopeless(self, after: timedelta) -> Collection[SubscriptionId]:
        """Return what has failed for so long without a success, and failed again since."""
