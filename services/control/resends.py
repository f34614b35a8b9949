"""Deliveries that were given up, sent again: one at once, many as a job.

A resend is a retry row that is due. So whoever owns the partition sends it, at the receiver's pace,
in the order that was asked for, with its retries; and nobody holds more of a job in memory than
retries in general. `Runner` makes the rows, a batch at a time.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from services.control.access import Caller
from services.control.announce import Announcer, about
from services.control.audit import Audit
from services.control.checks import Checker
from services.control.dead_letters import FIELDS, filter_of, visible
from services.kernel.clock import Clock, rfc3339
from services.kernel.dead_letter import Among, DeadFilter, JobState, Resend
from services.kernel.errors import NotFoundError, StoreGoneError
from services.kernel.event import Json
from services.kernel.ids import Entropy, SubscriptionId, is_id, new_id
from services.kernel.operation import replay_finished
from services.kernel.ports.control import DeadLetterStore, RegistrationStore, ResendStore
from services.kernel.registration import Page

log = structlog.get_logger()

INVALID = "The resend is not valid"
MAX_RATE = 100_000
BATCH = 500
WAITING = 1_000
"""Rows of one job that are due and not tried yet: beyond these it waits for receivers."""
LEASE = timedelta(seconds=15)
IDLE_SECONDS = 1.0
STEP_SECONDS = 0.25
OVER = (JobState.DONE, JobState.CANCELLED, JobState.FAILED)


class Resends:
    """Jobs: make, look at, cancel."""

    def __init__(
        self,
        *,
        store: ResendStore,
        letters: DeadLetterStore,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._letters = letters
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> Resend | Among:
        """Make a job of what a filter names; with `dry_run` say how much that is. Raises FaultsError."""
        check = Checker(INVALID, body, known=(*FIELDS, "state", "rate", "dry_run"))
        asked = filter_of(check)
        check.choice("state", ["dead"])
        rate = check.number("rate", least=0.01, most=MAX_RATE)
        dry = check.body.get("dry_run", False)
        if not isinstance(dry, bool):
            check.fault("dry_run", "type", "expected true or false")
        check.finish()
        seen = visible(caller, asked)
        nothing = Among(count=0, bytes=0, last=None)
        among = nothing if seen is None else await self._letters.count(seen)
        if dry or seen is None:
            return among
        return await self._add(caller, seen, among, rate)

    async def one(self, caller: Caller, id_: str, body: object) -> Resend:
        """Make a job of one dead letter, by its id. Raises FaultsError, NotFoundError."""
        Checker(INVALID, body, known=()).finish()
        page = await self._letters.page(
            DeadFilter(id=id_, project_id=caller.project_id), Page(1, None)
        )
        if not page:
            raise NotFoundError("dead letter", id_)
        asked = DeadFilter(id=id_, project_id=page[0].project_id)
        return await self._add(caller, asked, Among(count=1, bytes=0, last=id_), None)

    async def get(self, caller: Caller, id_: str) -> Resend:
        """Return one. Raises NotFoundError, also for another project's."""
        found = await self._store.get(id_) if is_id(id_) else None
        if found is None or caller.project_id not in (None, found.project_id):
            raise NotFoundError("resend", id_)
        return found

    async def page(self, caller: Caller, page: Page) -> Sequence[Resend]:
        """Return those that the caller may see, newest first."""
        return await self._store.page(caller.project_id, page)

    async def cancel(self, caller: Caller, id_: str) -> Resend:
        """End one; twice is fine. What is handed over already is still sent."""
        found = await self.get(caller, id_)
        async with self._audit.change(caller, "resend") as change:
            if await self._store.cancel(id_, at=self._clock.now()):
                change.note("cancel", id_, project_id=found.project_id)
        return await self.get(caller, id_)

    async def _add(
        self, caller: Caller, asked: DeadFilter, among: Among, rate: float | None
    ) -> Resend:
        job = Resend(
            id=new_id(now=self._clock.time(), entropy=self._entropy),
            project_id=asked.project_id,
            asked=asked,
            until_id=among.last,
            state=JobState.QUEUED,
            total=among.count,
            done=0,
            rate=rate,
            error=None,
            created_at=self._clock.now(),
            started_at=None,
            finished_at=None,
        )
        async with self._audit.change(caller, "resend") as change:
            await self._store.add(job)
            after = {**shown(job), "filter": written(asked)}
            change.note("create", job.id, project_id=job.project_id, after=after)
        return job


class Runner:
    """Works on jobs, wherever an API runs. Whoever dies is relieved when the claim ends."""

    def __init__(
        self,
        *,
        store: ResendStore,
        registrations: RegistrationStore,
        announcer: Announcer,
        clock: Clock,
        name: str,
    ) -> None:
        self._store = store
        self._registrations = registrations
        self._announcer = announcer
        self._clock = clock
        self._name = name

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                job = await self._store.claim(self._name, now=self._clock.now(), lease=LEASE)
                if job is not None:
                    await self._step(job)
            except StoreGoneError as error:
                log.warning("resends_wait", error=str(error))
                job = None
            await self._clock.sleep(IDLE_SECONDS if job is None else STEP_SECONDS)

    async def _step(self, job: Resend) -> None:
        """Hand the next batch of *job* over, as far as its rate and its receivers allow."""
        now = self._clock.now()
        waiting = await self._store.waiting(job.id)
        room = min(BATCH, WAITING - waiting, allowed(job, now=now))
        if room <= 0:
            return
        moved = await self._store.move(job, self._name, limit=room, now=now, lease=LEASE)
        if moved == 0 and waiting == 0:
            await self._finish(job)

    async def _finish(self, job: Resend) -> None:
        at = self._clock.now()
        if not await self._store.finish(job, self._name, state=JobState.DONE, error=None, at=at):
            return
        log.info("resend_done", id=job.id, total=job.total)
        id_ = job.asked.subscription_id
        registration = await self._registrations.get(SubscriptionId(id_)) if id_ else None
        if registration is not None:
            await self._announcer.tell(
                replay_finished(
                    about(registration),
                    replay_id=job.id,
                    state=JobState.DONE,
                    total=job.total,
                    started_at=job.started_at or job.created_at,
                    finished_at=at,
                )
            )


def allowed(job: Resend, *, now: datetime) -> int:
    """Return how many more the rate of *job* allows by now; `done` counts those handed over."""
    if job.rate is None or job.started_at is None:
        return BATCH
    passed = (now - job.started_at).total_seconds() + STEP_SECONDS
    return int(job.rate * passed) - job.done


def shown(job: Resend) -> Json:
    """Return a job as the API shows it."""
    found: Json = {
        "id": job.id,
        "state": job.state.value,
        "done": job.done,
        "total": job.total,
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
