"""Deliveries sent again: one at once, many as a job.

A resend is a retry row that is due. So whoever owns the partition sends it, at the receiver's pace,
in the order that was asked for, with its retries; and nobody holds more of a job in memory than
retries in general. `resending.Runner` makes the rows, a batch at a time: of dead letters, whose bodies
are kept; of rows that wait for their next attempt; and of what the log still has.

Its attempts are counted from 1 again, as a replay's are: the retry schedule goes by that number, and
who sends a dead letter again asks for the whole of it. The history has all attempts, with the trigger.
Its requests have the job's id as `planner-replay`: receivers that know the event would drop it else.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.control.access import Caller
from services.control.audit import Audit
from services.control.batches import Batches
from services.control.checks import Checker
from services.control.dead_letters import FIELDS, filter_of, visible
from services.control.history import NotKeptError
from services.control.journal import Journal
from services.control.log_begins import Log, log_begins
from services.control.subscriptions import Subscriptions
from services.kernel.clock import Clock, rfc3339
from services.kernel.dead_letter import Among, DeadFilter, DeadLetter, JobState, Resend, Source
from services.kernel.errors import ConflictError, Fault, FaultsError, NotFoundError
from services.kernel.event import Json
from services.kernel.history import DeliveryState, HistoryFilter, state_of
from services.kernel.ids import Entropy, SubscriptionId, is_id, new_id
from services.kernel.ports.control import DeadLetterStore, ResendStore
from services.kernel.ports.history import HistoryStore
from services.kernel.recorded import Recorded
from services.kernel.registration import Page
from services.replay.plan import outside, span_faults

INVALID = "The resend is not valid"
MAX_RATE = 100_000
MAX_ID = 64
OVER = (JobState.DONE, JobState.CANCELLED, JobState.FAILED)


class Kept(NamedTuple):
    """What is known of deliveries, and where."""

    letters: DeadLetterStore
    history: HistoryStore
    journal: Journal
    batches: Batches
    log: Log


class Resends:
    """Jobs: make, look at, cancel."""

    def __init__(
        self,
        *,
        store: ResendStore,
        kept: Kept,
        subscriptions: Subscriptions,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._kept = kept
        self._subscriptions = subscriptions
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> Resend | Among:
        """Make a job of what a filter names; with `dry_run` say how much that is. Raises FaultsError."""
        check = Checker(INVALID, body, known=(*FIELDS, "state", "rate", "dry_run"))
        asked = filter_of(check)
        source = Source(check.choice("state", list(Source)) or Source.LETTERS)
        rate = check.number("rate", least=0.01, most=MAX_RATE)
        dry = check.body.get("dry_run", False)
        if not isinstance(dry, bool):
            check.fault("dry_run", "type", "expected true or false")
        check.finish()
        seen = visible(caller, asked)
        if seen is None:
            return Among(count=0, bytes=0, last=None)
        if source is not Source.LETTERS:  # what is sent from now on isn't meant, also by this job
            now = self._clock.now()
            seen = seen._replace(until=now if seen.until is None else min(seen.until, now))
        if source is Source.LOG:
            await self._within_log(asked)
        among = await self._among(seen, source)
        return among if dry else await self._add(caller, self._job(seen, among, source, rate=rate))

    async def one(self, caller: Caller, id_: str, body: object) -> Resend:
        """Make a job of one delivery, by its id or that of its dead letter.

        Raises FaultsError where the log has it no more, NotKeptError, ConflictError.
        """
        check = Checker(INVALID, body, known=("to",))
        to = check.text("to", longest=MAX_ID)
        check.finish()
        attempts = await self._kept.history.of_delivery(id_) if is_id(id_) else []
        mine = [e for e in attempts if caller.may_see_of(e.project_id, e.subscription_id)]
        job = await (
            self._of_attempt(caller, mine[-1], to) if mine else self._of_letter(caller, id_)
        )
        if to is not None and job.to is None:
            message = (
                "to another webhook it is sent by the id of the delivery, not of its dead letter"
            )
            raise FaultsError(INVALID, [Fault("unsupported", message, "/to")])
        return await self._add(caller, job)

    async def get(self, caller: Caller, id_: str) -> Resend:
        """Return one. Raises NotFoundError, also for another project's."""
        found = await self._store.get(id_) if is_id(id_) else None
        if found is None or not _may_see(caller, found):
            raise NotFoundError("resend", id_)
        return found

    async def page(
        self, caller: Caller, page: Page, *, project_id: str | None = None
    ) -> Sequence[Resend]:
        """Return those that the caller may see, newest first; of *project_id* alone where it is given."""
        if caller.project_id is not None and project_id not in (None, caller.project_id):
            return []
        if caller.webhooks is None:
            return await self._store.page(caller.project_id or project_id, page)
        return await self._page_of_link(caller, page)

    async def cancel(self, caller: Caller, id_: str) -> Resend:
        """End one; twice is fine. What is handed over already is still sent."""
        found = await self.get(caller, id_)
        async with self._audit.change(caller, "resend") as change:
            if await self._store.cancel(id_, at=self._clock.now()):
                change.note("cancel", id_, project_id=found.project_id)
        return await self.get(caller, id_)

    async def _page_of_link(self, caller: Caller, page: Page) -> Sequence[Resend]:
        """Return the jobs of a link's subscriptions, out of all of its project."""
        found: list[Resend] = []
        before = page.before
        while len(found) < page.limit:
            rows = await self._store.page(caller.project_id, Page(page.limit, before))
            found += [job for job in rows if _may_see(caller, job)]
            if len(rows) < page.limit:
                break
            before = rows[-1].id
        return found[: page.limit]

    async def _among(self, asked: DeadFilter, source: Source) -> Among:
        if source is Source.LETTERS:
            return await self._kept.letters.count(asked)
        count, size = await self._kept.history.count(deliveries_of(asked, source))
        return Among(count=count, bytes=size, last=None)

    async def _within_log(self, asked: DeadFilter) -> None:
        """Raise FaultsError where the log no longer holds that time: of an end alone, none of it."""
        first = asked.since or asked.until
        if first is None:
            return
        log = self._kept.log
        bounds = await log.offsets.bounds(await log.offsets.partitions(log.topics))
        oldest = await log_begins(log, bounds, before=first, now=self._clock.now())
        faults = span_faults(asked.since, None, now=self._clock.now(), oldest=oldest)
        if asked.since is None and oldest is not None:
            faults = [outside(oldest, "/to")]
        if faults:
            raise FaultsError(INVALID, faults)

    async def _of_letter(self, caller: Caller, id_: str) -> Resend:
        asked = DeadFilter(id=id_, project_id=caller.project_id)
        page = await self._kept.letters.page(asked, Page(1, None))
        if not page or not caller.may_see_of(page[0].project_id, page[0].subscription_id):
            raise NotKeptError("delivery", id_, begins=await self._kept.history.begins())
        return self._one(page[0], id_, Source.LETTERS)

    async def _of_attempt(self, caller: Caller, newest: Recorded, to: str | None) -> Resend:
        """Return the job of a delivery: from its row where it has one, else from the log."""
        if newest.position is None:
            raise ConflictError("a test call is made again, not sent again")
        if to is not None:
            await self._may_get(caller, newest, to)
            return await self._from_log(caller, newest, SubscriptionId(to))
        try:
            registration = await self._subscriptions.get(caller, newest.subscription_id)
        except NotFoundError as error:
            raise ConflictError("its webhook is deleted: name another with `to`") from error
        state = state_of(newest)
        if state is DeliveryState.DEAD:
            letter = await self._kept.letters.of(newest.subscription_id, newest.event_id)
            if letter is not None:
                return self._one(newest, letter, Source.LETTERS)
        if state is DeliveryState.PARKED and newest.verdict is not None:
            return self._one(newest, newest.id, Source.ROWS)
        if await self._kept.batches.again(registration, newest) is not None:
            return self._one(newest, newest.id, Source.LOG)
        return await self._from_log(caller, newest, None)

    async def _may_get(self, caller: Caller, newest: Recorded, to: str) -> None:
        """Raise FaultsError where *to* is no subscription of the delivery's project."""
        try:
            registration = await self._subscriptions.get(caller, to)
        except NotFoundError as error:
            raise FaultsError(
                INVALID, [Fault("unknown_subscription", str(error), "/to")]
            ) from error
        if registration.project_id != newest.project_id:
            message = f"{to} is of another project than the delivery"
            raise FaultsError(INVALID, [Fault("other_project", message, "/to")])

    async def _from_log(
        self, caller: Caller, newest: Recorded, to: SubscriptionId | None
    ) -> Resend:
        """Return the job of an event that is read again. Raises FaultsError where it is gone."""
        place = (newest.topic, str(newest.partition), str(newest.offset))
        message = (
            f"another event stands at {'/'.join(place)}: the topic was made anew, or this was a batch"
            " whose webhook has changed since, or goes to another"
        )
        try:
            entry = await self._kept.journal.get(caller, *place)
        except NotFoundError as error:
            message = str(error)
        else:
            if entry.event.id == newest.event_id:
                return self._one(newest, newest.id, Source.LOG, to=to)
        raise FaultsError(INVALID, [Fault("outside_of_log", message, parameter="id")])

    def _one(
        self,
        of: Recorded | DeadLetter,
        id_: str,
        source: Source,
        *,
        to: SubscriptionId | None = None,
    ) -> Resend:
        asked = DeadFilter(id=id_, project_id=of.project_id, subscription_id=of.subscription_id)
        among = Among(count=1, bytes=0, last=id_)
        return self._job(asked, among, source, to=to)

    def _job(
        self,
        asked: DeadFilter,
        among: Among,
        source: Source,
        *,
        rate: float | None = None,
        to: SubscriptionId | None = None,
    ) -> Resend:
        return Resend(
            id=new_id(now=self._clock.time(), entropy=self._entropy),
            project_id=asked.project_id,
            source=source,
            asked=asked,
            to=to,
            until_id=among.last,
            state=JobState.QUEUED,
            total=among.count,
            rate=rate,
            error=None,
            created_at=self._clock.now(),
            started_at=None,
            finished_at=None,
        )

    async def _add(self, caller: Caller, job: Resend) -> Resend:
        async with self._audit.change(caller, "resend") as change:
            await self._store.add(job)
            after = {**shown(job), "filter": {"state": job.source.value, **written(job.asked)}}
            if job.to is not None:
                after["to"] = job.to
            change.note("create", job.id, project_id=job.project_id, after=after)
        return job


def _may_see(caller: Caller, job: Resend) -> bool:
    of = job.asked
    if caller.webhooks is None:
        return caller.project_id in (None, job.project_id)
    return of.subscription_id is not None and caller.may_see_of(
        job.project_id or "", of.subscription_id
    )


def deliveries_of(asked: DeadFilter, source: Source) -> HistoryFilter:
    """Return what a job of the history looks for."""
    id_ = asked.subscription_id
    return HistoryFilter(
        project_id=asked.project_id,
        subscription_id=None if id_ is None else SubscriptionId(id_),
        type=asked.type,
        state=source.value,
        outcome=asked.outcome,
        status=asked.status,
        status_class=asked.status_class,
        since=asked.since,
        until=asked.until,
        deliveries=True,
    )


def shown(job: Resend) -> Json:
    """Return a job as the API shows it."""
    found: Json = {
        "id": job.id,
        "state": job.state.value,
        "done": job.done,
        "total": job.total,
        "delivered": job.delivered,
        "dead": job.dead,
        "missing": job.missing,
        "rate": job.rate,
        "eta_seconds": None if job.state in OVER else _eta(job),
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at) if job.started_at else None,
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
    }
    return {**found, "error": job.error} if job.error else found


def written(asked: DeadFilter) -> Json:
    """Return a filter as it was asked for, without what isn't."""
    values = {name: value for name, value in asked._asdict().items() if value is not None}
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def _eta(job: Resend) -> float | None:
    return round((job.total - job.done) / job.rate, 1) if job.rate else None
