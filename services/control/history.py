"""Attempts and deliveries: looked for, looked at, counted."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from services import catalogue
from services.control.access import Caller
from services.control.checks import near
from services.control.dead_letters import parse
from services.kernel.attempt import Outcome
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import Fault, FaultsError, NotFoundError
from services.kernel.history import IDS, DeliveryState, HistoryFilter
from services.kernel.ids import SubscriptionId, is_id
from services.kernel.ports.history import HistoryStore
from services.kernel.recorded import Recorded
from services.kernel.registration import Page, Registration
from services.kernel.rollup import Step, Sums

SHARED = ("project_id", "subscription", "type", "outcome", "status", "from", "to")
FILTERS = (*SHARED, "state", "verdict", *IDS, "q")
VERDICTS = ("acknowledged", "retry", "superseded", "dead", "disable")
EXPORT_ROWS = 1_000
MAX_POINTS = 1_500
USUAL_POINTS = 60
STATS_FILTERS = ("project_id", "subscription", "type", "from", "to", "step")
MINUTES_KEPT = timedelta(days=3)
SKEW = timedelta(minutes=1)
"""By which the clocks of workers may be ahead of ours."""
TITLE = "The query is not valid"


class NotKeptError(NotFoundError):
    """The history has no such thing, or not any more: it says how far back it goes."""

    def __init__(self, noun: str, id_: str, *, begins: datetime | None) -> None:
        super().__init__(noun, id_)
        kept = "is empty so far"
        if begins is not None:
            kept = f"goes back to {rfc3339(begins)}, and what was sent before is gone"
        self.args = (f"{self}: the history {kept}",)


class History:
    """What was sent, and what came back."""

    def __init__(self, *, store: HistoryStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def page(self, caller: Caller, asked: HistoryFilter, page: Page) -> Sequence[Recorded]:
        """Return attempts that the caller may see, newest first."""
        seen = _visible(caller, asked)
        if seen is None:
            return []
        # Without it the search would begin at the end of the day, hours after the newest.
        latest = self._clock.now() + SKEW
        seen = seen._replace(until=min(seen.until or latest, latest), as_of=seen.as_of or latest)
        return await self._store.page(seen, before=page.before, limit=page.limit)

    async def export(
        self, caller: Caller, asked: HistoryFilter
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        """Yield all that the caller may see, newest first, some at a time; as of its beginning.

        Page by page, so that no transaction is held open as long as somebody reads.
        """
        before = None
        seen = _visible(caller, asked._replace(as_of=self._clock.now()))
        while seen is not None:
            rows = await self._store.page(seen, before=before, limit=EXPORT_ROWS)
            if rows:
                yield rows
            if len(rows) < EXPORT_ROWS:
                return
            before = rows[-1].id

    async def last_attempts(
        self, registration: Registration, spans: Sequence[tuple[datetime, datetime | None]]
    ) -> Sequence[datetime | None]:
        """Return when the last attempt began within each span, as far back as attempts are kept."""
        found: list[datetime | None] = []
        for since, until in spans:
            asked = HistoryFilter(
                project_id=registration.project_id,
                subscription_id=registration.id,
                since=since,
                until=until,
            )
            rows = await self._store.page(asked, before=None, limit=1)
            found.append(datetime.fromtimestamp(rows[0].started_at, tz=UTC) if rows else None)
        return found

    async def attempt(self, caller: Caller, id_: str) -> Recorded:
        """Return one attempt. Raises NotKeptError."""
        found = await self._store.get(id_) if is_id(id_) else None
        if found is None or not _may_see(caller, found):
            raise NotKeptError("attempt", id_, begins=await self._store.begins())
        return found

    async def delivery(self, caller: Caller, id_: str) -> Sequence[Recorded]:
        """Return the attempts of a delivery, oldest first. Raises NotKeptError."""
        rows = await self._store.of_delivery(id_) if is_id(id_) else []
        found = [row for row in rows if row.delivery_id == id_ and _may_see(caller, row)]
        if not found:
            raise NotKeptError("delivery", id_, begins=await self._store.begins())
        return found

    async def points(
        self, caller: Caller, query: Mapping[str, str], noted: Sequence[Fault]
    ) -> tuple[Step, datetime, datetime, Mapping[datetime, Sums]]:
        """Return what was counted, by step. Raises FaultsError."""
        values = {name: query.get(name) for name in SHARED} | {"outcome": None, "status": None}
        asked, wrong = parse(values)
        faults = [*noted, *(Fault(code, text, parameter=name) for name, code, text in wrong)]
        until = asked.until or self._clock.now()
        since = asked.since or until - timedelta(days=1)
        text = query.get("step")
        if text is not None and text not in list(Step):
            message = f"{text!r} is not one of {', '.join(Step)}{near(text, list(Step))}"
            faults.append(Fault("choice", message, parameter="step"))
            raise FaultsError(TITLE, faults)
        step = Step(text) if text is not None else _usual(until - since)
        faults += self._too_much(step, since, until)
        if since >= until and not faults:
            faults.append(Fault("range", "from must lie before to", parameter="from"))
        if faults:
            raise FaultsError(TITLE, faults)
        project_id = caller.project_id or asked.project_id
        if caller.project_id is not None and asked.project_id not in (None, caller.project_id):
            return step, since, until, {}
        found = await self._store.points(
            project_id=project_id,
            subscription_id=asked.subscription_id,
            among=caller.webhooks,
            type_=_todays(asked.type),
            step=step,
            since=_floor(since, step),
            until=until,
        )
        return step, _floor(since, step), until, found

    def _too_much(self, step: Step, since: datetime, until: datetime) -> list[Fault]:
        points = (until - since).total_seconds() / step.seconds
        if points > MAX_POINTS:
            message = f"{points:.0f} points, {MAX_POINTS} are allowed: a longer step, or less time"
            return [Fault("limit", message, parameter="step")]
        kept = self._clock.now() - MINUTES_KEPT
        if step is Step.MINUTE and since < kept:
            message = "minutes are kept for 3 days: ask for step=hour"
            return [Fault("limit", message, parameter="step")]
        return []


def filter_of_query(query: Mapping[str, str]) -> tuple[HistoryFilter, list[Fault]]:
    """Return what a query asks for, and what is wrong with it."""
    found, wrong = parse({name: query.get(name) for name in SHARED})
    faults = [Fault(code, message, parameter=name) for name, code, message in wrong]
    for name, among in (("state", list(DeliveryState)), ("verdict", VERDICTS)):
        text = query.get(name)
        if text is not None and text not in among:
            message = f"{text!r} is not one of {', '.join(among)}{near(text, list(among))}"
            faults.append(Fault("choice", message, parameter=name))
    return HistoryFilter(
        project_id=found.project_id,
        subscription_id=SubscriptionId(found.subscription_id) if found.subscription_id else None,
        type=_todays(found.type),
        state=query.get("state"),
        outcome=Outcome(found.outcome).value if found.outcome else None,
        verdict=query.get("verdict"),
        status=found.status,
        status_class=found.status_class,
        since=found.since,
        until=found.until,
        text=query.get("q"),
        event_id=query.get("event_id"),
        plan_id=query.get("plan_id"),
        route_id=query.get("route_id"),
        stop_id=query.get("stop_id"),
        vehicle_id=query.get("vehicle_id"),
        external_id=query.get("external_id"),
    ), faults


def _todays(name: str | None) -> str | None:
    """Return the name that attempts are kept under: older ones are accepted wherever a type is."""
    return None if name is None else catalogue.canonical(name)


def _visible(caller: Caller, asked: HistoryFilter) -> HistoryFilter | None:
    if caller.project_id is None:
        return asked
    if asked.project_id not in (None, caller.project_id):
        return None
    return asked._replace(project_id=caller.project_id, among=caller.webhooks)


def _may_see(caller: Caller, attempt: Recorded) -> bool:
    return caller.may_see_of(attempt.project_id, attempt.subscription_id)


def _usual(length: timedelta) -> Step:
    """Return the shortest step that gives not too many points."""
    seconds = length.total_seconds()
    if seconds <= USUAL_POINTS * Step.MINUTE.seconds:
        return Step.MINUTE
    return Step.HOUR if seconds <= USUAL_POINTS * Step.HOUR.seconds else Step.DAY


def _floor(moment: datetime, step: Step) -> datetime:
    return moment - timedelta(seconds=moment.timestamp() % step.seconds)
