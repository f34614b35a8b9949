"""Who fails, as workers see it, without Postgres; `tests/contract/test_trouble.py` holds both."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from services.kernel import operation
from services.kernel.errors import StoreGoneError
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.health import Troubled, TroubleReport
from services.kernel.subscription import Status
from tests.support.fake_store import FakeDatabase
from tests.support.server import GoneError

T = TypeVar("T")


@dataclass
class TroubleRow:
    """A row of `trouble`."""

    since: datetime
    failed_at: datetime | None
    succeeded_at: datetime | None = None
    failing_at: datetime | None = None
    reason: str | None = None

    @property
    def begun(self) -> datetime:
        """Since when nothing got through."""
        return max(self.since, self.succeeded_at or self.since)


class FakeTrouble:
    """The `TroubleStore`: a client of the database."""

    def __init__(self, database: FakeDatabase, *, seconds: float = 5.0) -> None:
        self._database = database
        self._seconds = seconds

    async def report_trouble(
        self,
        failed: Sequence[Troubled],
        succeeded: Mapping[SubscriptionId, datetime],
        *,
        now: datetime,
    ) -> TroubleReport:
        """Take in what was noted; return what follows."""
        return await self._ask(lambda: self._report(failed, succeeded, now))

    async def hopeless(self, after: timedelta) -> Collection[SubscriptionId]:
        """Return what has failed for so long without a success."""
        return await self._ask(
            lambda: [
                id_
                for id_, row in self._rows().items()
                if row.failed_at is not None and row.failed_at - row.begun >= after
            ]
        )

    def _rows(self) -> dict[SubscriptionId, TroubleRow]:
        known = self._database.tables.subscriptions
        rows = self._database.tables.trouble
        for id_ in [id_ for id_ in rows if not _is_on(known.get(id_))]:
            del rows[id_]
        return rows

    def _report(
        self,
        failed: Sequence[Troubled],
        succeeded: Mapping[SubscriptionId, datetime],
        now: datetime,
    ) -> TroubleReport:
        rows = self._rows()
        for each in failed:
            if _is_on(self._database.tables.subscriptions.get(each.subscription_id)):
                row = rows.setdefault(each.subscription_id, TroubleRow(each.since, None))
                row.failed_at = max(filter(None, (row.failed_at, each.failed_at)), default=None)
        for id_, at in succeeded.items():
            if id_ in rows:
                rows[id_].succeeded_at = max(at, rows[id_].succeeded_at or at)
        failing = {}
        for each in failed:
            row = rows.get(each.subscription_id)
            if row is not None and each.reason is not None and row.failing_at is None:
                row.failing_at, row.reason = now, each.reason
                failing[each.subscription_id] = each.reason
                self._tell_failing(each.subscription_id, row, now)
        tables = self._database.tables
        waiting = {id_ for _, id_, _ in tables.retries}
        waiting |= {id_ for (_, id_), lane in tables.lanes.items() if not lane.reason.is_usual}
        over = {
            id_: row
            for id_, row in rows.items()
            if row.succeeded_at is not None
            and (row.failed_at is None or row.succeeded_at > row.failed_at)
            and id_ not in waiting
        }
        for id_ in over:
            del rows[id_]
        recovered = [id_ for id_, row in over.items() if row.failing_at is not None]
        self._database.keep(
            [
                operation.recovered(self._about(id_), since=over[id_].since, backlog=0)
                for id_ in recovered
            ]
        )
        return TroubleReport(failing, recovered, set(rows))

    def _about(self, id_: SubscriptionId) -> operation.About:
        return operation.About.of(self._database.tables.subscriptions[id_])

    def _tell_failing(self, id_: SubscriptionId, row: TroubleRow, now: datetime) -> None:
        tables = self._database.tables
        times = [r.delivery.timestamp_ms for (_, of, _), r in tables.retries.items() if of == id_]
        count = sum(h.failure_count for (of, _), h in tables.health.items() if of == id_)
        told = operation.failing(
            self._about(id_),
            reason=row.reason or "",
            since=row.begun,
            failure_count=count,
            backlog=len(times),
            oldest_age_seconds=now.timestamp() - min(times) / 1000 if times else None,
        )
        self._database.keep([told])

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._database.ask(effect, seconds=self._seconds)
        except GoneError as error:
            raise StoreGoneError(str(error)) from error


def _is_on(subscription: object) -> bool:
    return subscription is not None and subscription.status is not Status.DISABLED
