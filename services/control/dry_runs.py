"""Filters tried on the log before they are stored: as jobs, bounded in time and load.

A job reads the partitions of the topics in question from a time on, at full speed, until their end,
or until it has seen as many events or taken as long as the settings allow; then it says so. One after
the other: however many are asked for, an API process reads the log for one of them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from services.control.access import Caller
from services.control.checks import Checker, parse_moment
from services.control.filters import INVALID, Filters
from services.control.readers import Readers
from services.control.rehearsal import Rehearsal, Wish
from services.control.subscriptions import Subscriptions
from services.feed.decode import Decoder
from services.kernel.clock import Clock, rfc3339
from services.kernel.dead_letter import JobState
from services.kernel.dry_run import DryRun
from services.kernel.errors import BrokerGoneError, NotFoundError, OutOfLogError, StoreGoneError
from services.kernel.event import Event, Json, Partition
from services.kernel.ids import Entropy, SubscriptionId, is_id, new_id
from services.kernel.ports.broker import Bounds, Offsets
from services.kernel.ports.control import DryRunStore, RegistrationStore
from services.kernel.value import value
from services.match.filters import stored
from services.match.types import topics_of

log = structlog.get_logger()

LEASE = timedelta(seconds=15)
IDLE_SECONDS = 0.5
READ = 200
WAIT = timedelta(milliseconds=500)
NOTE_SECONDS = 0.5


class DryRuns:
    """Jobs: make, look at, cancel."""

    def __init__(
        self,
        *,
        store: DryRunStore,
        filters: Filters,
        subscriptions: Subscriptions,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._filters = filters
        self._subscriptions = subscriptions
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> DryRun:
        """Make a job. Raises FaultsError, NotFoundError."""
        known = ("project_id", "types", "filter", "from", "subscription")
        check = Checker(INVALID, body, known=known)
        judged = await self._filters.read(caller, check)
        since = parse_moment(check.body.get("from"))
        if since is None:
            code = "required" if check.body.get("from") is None else "time"
            check.fault("from", code, "write a time as 2026-03-17T09:40:51.000Z")
        named = check.text("subscription", longest=24)
        check.finish()
        assert judged is not None  # noqa: S101 - else there was a fault
        assert since is not None  # noqa: S101 - nor that
        if named is not None:
            registration = await self._subscriptions.get(caller, named)
            if registration.project_id != judged.project_id:
                raise NotFoundError("subscription", named)
        job = DryRun(
            id=new_id(now=self._clock.time(), entropy=self._entropy),
            project_id=judged.project_id,
            question={
                "types": list(judged.types),
                "filter": judged.normal,
                "from": rfc3339(since),
                "subscription": named,
            },
            created_at=self._clock.now(),
        )
        await self._store.add(job)
        return job

    async def get(self, caller: Caller, id_: str) -> DryRun:
        """Return one. Raises NotFoundError, also for another project's."""
        found = await self._store.get(id_) if is_id(id_) else None
        if found is None or not caller.may_see(found.project_id):
            raise NotFoundError("dry run", id_)
        return found

    async def cancel(self, caller: Caller, id_: str) -> DryRun:
        """End one; twice is fine."""
        await self.get(caller, id_)
        await self._store.cancel(id_, at=self._clock.now())
        return await self.get(caller, id_)


@value
class Limits:
    """How much one job may read."""

    events: int
    """Of its project."""
    seconds: float


class Runner:
    """Works on jobs, wherever an API runs. Whoever dies is relieved: the next begins anew."""

    def __init__(
        self,
        *,
        store: DryRunStore,
        registrations: RegistrationStore,
        filters: Filters,
        readers: Readers,
        offsets: Offsets,
        topics: Sequence[str],
        decoder: Decoder,
        limits: Limits,
        clock: Clock,
        name: str,
    ) -> None:
        self._store = store
        self._registrations = registrations
        self._filters = filters
        self._readers = readers
        self._offsets = offsets
        self._topics = topics
        self._decode = decoder.decode
        self._limits = limits
        self._clock = clock
        self._name = name

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            job = None
            try:
                job = await self._store.claim(self._name, now=self._clock.now(), lease=LEASE)
                if job is not None:
                    await self._work(job)
            except StoreGoneError as error:
                log.warning("dry_runs_wait", error=str(error))
            if job is None:
                await self._clock.sleep(IDLE_SECONDS)

    async def _work(self, job: DryRun) -> None:
        result, error = None, None
        try:
            result = await self._rehearse(job)
        except (BrokerGoneError, OutOfLogError) as gone:
            error = str(gone)
        if result is not None or error is not None:
            at = self._clock.now()
            await self._store.finish(job, self._name, result=result, error=error, at=at)

    async def _rehearse(self, job: DryRun) -> Json | None:
        """Return what was found; None where somebody ended the job."""
        rehearsal = await self._rehearsal(job)
        partitions = await self._offsets.partitions(self._topics_of(job.question["types"]))
        bounds = await self._offsets.bounds(partitions)
        since = int(datetime.fromisoformat(job.question["from"]).timestamp() * 1000)
        at = dict(await self._offsets.at(partitions, since))
        total = sum(max(0, bounds[p].end - offset) for p, offset in at.items())
        until = self._clock.monotonic() + self._limits.seconds
        noted, done = self._clock.monotonic(), 0
        async with self._readers.one() as reader:
            while behind := _behind(at, bounds):
                now = self._clock.monotonic()
                if now > until or rehearsal.scanned >= self._limits.events:
                    break
                if now - noted > NOTE_SECONDS:
                    noted = now
                    if not await self._note(job, done, total):
                        return None
                for partition, batch in (await reader.read(behind, limit=READ, wait=WAIT)).items():
                    done += len(batch.records)
                    at[partition] = batch.next_offset
                    for record in batch.records:
                        event = self._decode(record)
                        if isinstance(event, Event) and event.project_id == job.project_id:
                            rehearsal.take(event)
                await asyncio.sleep(0)  # requests go first
        if not await self._note(job, done, total):
            return None
        return rehearsal.result(complete=not _behind(at, bounds))

    async def _rehearsal(self, job: DryRun) -> Rehearsal:
        question = job.question
        tree = await self._filters.tree(job.project_id, question["filter"], question["types"])
        before = None
        if question["subscription"] is not None:
            found = await self._registrations.get(SubscriptionId(question["subscription"]))
            if found is not None:
                kept = None if found.filter is None else stored(found.filter)
                readable = found.filter is None or kept is not None
                before = Wish(found.types, kept, readable)
        fences = await self._filters.fences(job.project_id)
        return Rehearsal(Wish(tuple(question["types"]), tree), fences, before=before)

    async def _note(self, job: DryRun, done: int, total: int) -> bool:
        until = self._clock.now() + LEASE
        return await self._store.note(job.id, self._name, done=done, total=total, until=until)

    def _topics_of(self, patterns: Sequence[str]) -> Sequence[str]:
        """Return the topics that these types are in; all of them where one isn't known."""
        named = {topic for pattern in patterns for topic in topics_of(pattern)}
        return [topic for topic in self._topics if topic in named] or self._topics


def shown(job: DryRun, *, now: datetime) -> Json:
    """Return a job as the API shows it."""
    rate = None
    if job.started_at is not None and job.done:
        seconds = ((job.finished_at or now) - job.started_at).total_seconds()
        rate = round(job.done / max(seconds, 0.001), 1)
    left = None if job.total is None else job.total - job.done
    running = job.state is JobState.RUNNING
    found: Json = {
        "id": job.id,
        "state": job.state.value,
        "done": job.done,
        "total": job.total,
        "rate": rate,
        "eta_seconds": round(left / rate, 1) if running and rate and left is not None else None,
        "question": job.question,
        "result": job.result,
        "created_at": rfc3339(job.created_at),
        "started_at": rfc3339(job.started_at) if job.started_at else None,
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
    }
    return {**found, "error": job.error} if job.error else found


def _behind(
    at: Mapping[Partition, int], bounds: Mapping[Partition, Bounds]
) -> dict[Partition, int]:
    return {p: offset for p, offset in at.items() if offset < bounds[p].end}
