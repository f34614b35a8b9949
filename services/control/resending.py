"""Works on resends: their deliveries become retry rows that are due, a batch at a time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog

from services.control.from_log import FromLog
from services.control.resends import deliveries_of
from services.kernel.clock import Clock
from services.kernel.dead_letter import JobState, Resend, Source
from services.kernel.errors import BrokerGoneError, StoreGoneError
from services.kernel.ports.control import Passed, ResendStore
from services.kernel.ports.history import HistoryStore
from services.kernel.recorded import Recorded

log = structlog.get_logger()

BATCH = 500
BATCH_BYTES = 4 << 20
WAITING = 1_000
"""Rows of one job that are due and not tried yet: beyond these it waits for receivers."""
LEASE = timedelta(seconds=15)
IDLE_SECONDS = 1.0
STEP_SECONDS = 0.25


class Runner:
    """Works on jobs, wherever an API runs. Whoever dies is relieved when the claim ends."""

    def __init__(
        self,
        *,
        store: ResendStore,
        history: HistoryStore,
        from_log: FromLog,
        clock: Clock,
        name: str,
    ) -> None:
        self._store = store
        self._history = history
        self._from_log = from_log
        self._clock = clock
        self._name = name

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                job = await self._store.claim(self._name, now=self._clock.now(), lease=LEASE)
                if job is not None:
                    await self._step(job)
            except (StoreGoneError, BrokerGoneError) as error:
                log.warning("resends_wait", error=str(error))
                job = None
            await self._clock.sleep(IDLE_SECONDS if job is None else STEP_SECONDS)

    async def _step(self, job: Resend) -> None:
        """Hand the next batch of *job* over, as far as its rate and its receivers allow."""
        now = self._clock.now()
        room = min(BATCH, WAITING - job.waiting, allowed(job, now=now))
        if room <= 0:
            return
        if job.source is Source.LETTERS:
            moved = await self._store.move(job, self._name, limit=room, now=now, lease=LEASE)
            is_all = moved == 0
        else:
            attempts = await self._attempts(job, room)
            is_all = not attempts
            if attempts:
                await self._hand_over(job, attempts)
        if is_all and job.waiting == 0:
            await self._finish(job)

    async def _attempts(self, job: Resend, limit: int) -> Sequence[Recorded]:
        """Return the next of a job of the history, oldest first: so each key's are in order."""
        if job.asked.id is not None:
            one = None if job.cursor else await self._history.get(job.asked.id)
            return [] if one is None else [one]
        asked = deliveries_of(job.asked, job.source)
        found = await self._history.after(asked, after=job.cursor, limit=limit)
        size = 0
        for count, attempt in enumerate(found):
            size += attempt.size
            if count and size > BATCH_BYTES:
                return found[:count]
        return found

    async def _hand_over(self, job: Resend, attempts: Sequence[Recorded]) -> None:
        if job.source is Source.ROWS:
            passed = Passed(attempts[-1].id, 0, self._clock.now(), LEASE)
            await self._store.hurry(job, self._name, attempts, passed=passed)
            return
        deliveries, count = await self._from_log.deliveries(attempts, to=job.to)
        if count:
            missing = count - len(deliveries)
            passed = Passed(attempts[count - 1].id, missing, self._clock.now(), LEASE)
            await self._store.put(job, self._name, deliveries, passed=passed)

    async def _finish(self, job: Resend) -> None:
        at = self._clock.now()
        if not await self._store.finish(job, self._name, state=JobState.DONE, error=None, at=at):
            return
        log.info("resend_done", id=job.id, delivered=job.delivered, dead=job.dead)


def allowed(job: Resend, *, now: datetime) -> int:
    """Return how many more the rate of *job* allows by now."""
    if job.rate is None or job.started_at is None:
        return BATCH
    passed = (now - job.started_at).total_seconds() + STEP_SECONDS
    return int(job.rate * passed) - job.moved
