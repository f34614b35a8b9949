"""Table `resends`: jobs that make deliveries due again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import orjson

from services.kernel.dead_letter import DeadFilter, JobState, Resend, Source
from services.kernel.delivery import Delivery
from services.kernel.operation import About, resend_ended
from services.kernel.ports.control import Passed
from services.kernel.recorded import Recorded
from services.kernel.registration import Page
from services.store.operations import keep
from services.store.pool import Pool, queries
from services.store.retries import about_column, body_columns, columns

TIMES = ("since", "until")
PUT_COLUMNS, KEY_COLUMNS = 15, 5


class PostgresResends:
    """The `ResendStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, job: Resend) -> None:
        """Store a new job."""
        asked = orjson.dumps(job.asked._asdict()).decode()
        await self._pool.execute(
            "add_resend",
            job.id,
            job.project_id,
            asked,
            job.until_id,
            job.rate,
            job.total,
            job.created_at,
            job.source.value,
            job.to,
        )

    async def get(self, id_: str) -> Resend | None:
        """Return one."""
        row = await self._pool.fetchrow("page_resends", id_, None, None, 1)
        return _job(row) if row else None

    async def page(self, project_id: str | None, page: Page) -> Sequence[Resend]:
        """Return those of a project (None: all), newest first."""
        rows = await self._pool.fetch("page_resends", None, project_id, page.before, page.limit)
        return [_job(row) for row in rows]

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """End one that isn't over; tell whether it wasn't."""
        return await self._ended("cancel_resend", id_, at)

    async def claim(self, worker: str, *, now: datetime, lease: timedelta) -> Resend | None:
        """Return the oldest job that nobody works on; nobody else does now for so long."""
        row = await self._pool.fetchrow("claim_resend", worker, now, lease)
        return await self.get(row["id"]) if row else None

    async def move(
        self, job: Resend, worker: str, *, limit: int, now: datetime, lease: timedelta
    ) -> int | None:
        """Make up to *limit* more due; return how many, None where the job is *worker*'s no more."""
        row = await self._pool.fetchrow(
            "move_dead_letters", *job.asked, job.id, worker, limit, now, lease
        )
        return row["count"] if row else None

    async def put(
        self, job: Resend, worker: str, deliveries: Sequence[Delivery], *, passed: Passed
    ) -> int | None:
        """Write *deliveries* as retries that are due, or make them due."""
        rows = columns(deliveries, _put_row) if deliveries else [[] for _ in range(PUT_COLUMNS)]
        row = await self._pool.fetchrow("put_resends", job.id, worker, *passed, *rows)
        return row["count"] if row else None

    async def hurry(
        self, job: Resend, worker: str, attempts: Sequence[Recorded], *, passed: Passed
    ) -> int | None:
        """Make retries due at once."""
        keys = columns(attempts, _key) if attempts else [[] for _ in range(KEY_COLUMNS)]
        row = await self._pool.fetchrow("hurry_rows", job.id, worker, *passed, *keys)
        return row["count"] if row else None

    async def finish(
        self, job: Resend, worker: str, *, state: JobState, error: str | None, at: datetime
    ) -> bool:
        """End a job; tell whether it still was *worker*'s."""
        return await self._ended("finish_resend", job.id, worker, state.value, error, at)

    async def _ended(self, name: str, id_: str, *arguments: object) -> bool:
        """Run a statement that ends a job, and tell of it.

        Not where it was of one delivery, or of all webhooks.
        """
        async with self._pool.together():
            row = await self._pool.fetchrow(name, id_, *arguments)
            job = await self.get(id_) if row else None
            to = None if job is None else job.to or job.asked.subscription_id
            if job is not None and to is not None and job.asked.id is None:
                async with self._pool.connection() as connection:
                    owner = await connection.fetchval(queries()["project_of"], to)
                    about = About(project_id=owner, subscription_id=to)
                    await keep(connection, [resend_ended(job, about)] if owner else [])
        return job is not None


def _put_row(delivery: Delivery) -> tuple[Any, ...]:
    return *body_columns(delivery), about_column(delivery)


def _key(attempt: Recorded) -> tuple[Any, ...]:
    return (
        attempt.subscription_id,
        attempt.topic,
        attempt.partition,
        attempt.offset,
        attempt.event_id,
    )


def _job(row: asyncpg.Record) -> Resend:
    asked = orjson.loads(row["asked"])
    times = {t: datetime.fromisoformat(asked[t]) if asked[t] else None for t in TIMES}
    return Resend(
        id=row["id"],
        project_id=row["project_id"],
        source=Source(row["source"]),
        asked=DeadFilter(**{**asked, **times}),
        to=row["target"],
        until_id=row["until_id"],
        cursor=row["cursor"],
        state=JobState(row["state"]),
        total=row["total"],
        moved=row["moved"],
        missing=row["missing"],
        waiting=row["waiting"],
        retrying=row["retrying"],
        dead=row["dead"],
        rate=row["rate"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
