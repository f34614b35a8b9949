"""Who is failing, since when, and when that is over; reported to the project's other subscriptions.

    well ──failure──▶ troubled ──first dead letter, or nothing through for minutes──▶ failing
      ▲                  │                                                       │        │
      └── a success, and nothing waits any more ──────────◀── webhook.recovered ─┘        │
    disabled ◀── days without a success, and failures all along ──────────────────────────┘

All workers share one row in Postgres per troubled subscription, so that each step is reported once,
whoever saw it, and is stored together with its report (`operations`). A success of a healthy
subscription costs one look at an empty set.

Deliveries of `webhook.*` don't count here: otherwise each failure to report a failure would be reported.
Positions and other streams don't count towards disabling: they are worth nothing hours later.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from services import catalogue
from services.kernel.attempt import Attempt, Outcome
from services.kernel.clock import Clock
from services.kernel.condition import Trouble
from services.kernel.delivery import Delivery
from services.kernel.errors import StoreGoneError
from services.kernel.ids import SubscriptionId
from services.kernel.operation import OPERATIONAL
from services.kernel.ports.store.health import Troubled, TroubleStore
from services.kernel.subscription import Subscription

log = structlog.get_logger()

REPORT_SECONDS = 2.0
LOOK_SECONDS = 30.0
BREAKER_SECONDS = 300.0
"""How long a breaker must be open before it is reported although nothing was given up yet."""
FAILING = "no_success"
"""The reason given when a subscription that failed for days is disabled."""


class Troubles:
    """Notes in memory, a few statements every two seconds where there is any trouble."""

    def __init__(
        self,
        *,
        store: TroubleStore,
        known: Callable[[SubscriptionId], Subscription | None],
        disable: Callable[[Subscription, str], None],
        open_for: Callable[[SubscriptionId], float],
        give_up_after: timedelta | None,
        clock: Clock,
    ) -> None:
        self._store = store
        self._subscription = known
        self._disable = disable
        self._open_for = open_for
        self._give_up_after = give_up_after
        self._clock = clock
        self._troubled: set[SubscriptionId] = set()
        self._failed: dict[SubscriptionId, Troubled] = {}
        self._succeeded: dict[SubscriptionId, datetime] = {}

    def note(self, delivery: Delivery, attempt: Attempt) -> None:
        """Take in one attempt."""
        id_ = delivery.subscription_id
        if attempt.outcome is Outcome.OK:
            if self._troubled and id_ in self._troubled:
                self._succeeded[id_] = _ended(attempt)
        elif not delivery.type.startswith(OPERATIONAL):
            self._note_failure(id_, attempt, counts=not _is_stream(delivery.type))

    def exhausted(self, delivery: Delivery, attempt: Attempt) -> None:
        """Take in that *delivery* was given up: its subscription is failing."""
        if not delivery.type.startswith(OPERATIONAL):
            self.failing(delivery.subscription_id, in_words(attempt))

    def failing(self, id_: SubscriptionId, reason: str) -> None:
        """Report that a subscription is failing; once until it has recovered."""
        now = self._clock.now()
        before = self._failed.get(id_) or Troubled(id_, now, None, None)
        self._failed[id_] = before._replace(reason=reason)
        self._troubled.add(id_)

    async def run(self) -> None:
        """Report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_all())
            group.create_task(self._look_all())

    async def report(self) -> None:
        """Write what was noted, and report what follows from it. What can't be written is kept."""
        failed, self._failed = self._failed, {}
        succeeded, self._succeeded = self._succeeded, {}
        try:
            report = await self._store.report_trouble(
                list(failed.values()), succeeded, now=self._clock.now()
            )
        except StoreGoneError:
            self._failed = failed | self._failed
            self._succeeded = succeeded | self._succeeded
            return
        self._troubled = {*report.troubled, *self._failed}
        for id_, reason in report.failing.items():
            log.warning("subscription_failing", subscription_id=id_, reason=reason)
        for id_ in report.recovered:
            log.info("subscription_recovered", subscription_id=id_)

    def look(self) -> None:
        """Report as failing those in trouble whose breaker has been open for minutes."""
        for id_ in list(self._troubled):
            if self._open_for(id_) >= BREAKER_SECONDS:
                self.failing(id_, Trouble.BREAKER_OPEN.value)

    async def give_up(self, after: timedelta | None) -> None:
        """Disable what has failed for too long without a success. Raises StoreGoneError."""
        if after is None:
            return
        for id_ in await self._store.hopeless(after):
            subscription = self._subscription(id_)
            if subscription is not None:
                self._disable(subscription, FAILING)

    async def _report_all(self) -> None:
        while True:
            await self._clock.sleep(REPORT_SECONDS)
            await self.report()

    async def _look_all(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()
            try:
                await self.give_up(self._give_up_after)
            except StoreGoneError as error:
                log.warning("giving_up_waits", error=str(error))

    def _note_failure(self, id_: SubscriptionId, attempt: Attempt, *, counts: bool) -> None:
        at = _ended(attempt)
        before = self._failed.get(id_)
        if before is None:
            self._troubled.add(id_)
            before = Troubled(id_, at, None, None)
        self._failed[id_] = before._replace(failed_at=at) if counts else before


def in_words(attempt: Attempt) -> str:
    """Return why an attempt failed, in the words of the catalogue: `http_503`, `timeout` …"""
    if attempt.outcome is Outcome.HTTP and attempt.status is not None:
        return f"http_{attempt.status}"
    return attempt.outcome.value


def _is_stream(asked: str) -> bool:
    known = catalogue.event_types().get(catalogue.canonical(asked))
    return known is not None and known.stream


def _ended(attempt: Attempt) -> datetime:
    return datetime.fromtimestamp(attempt.started_at + attempt.seconds, tz=UTC)
