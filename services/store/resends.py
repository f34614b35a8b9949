"""Table `resends`: jobs that make dead letters due again."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import orjson

from services.kernel.dead_letter import DeadFilter, JobState, Resend
from services.kernel.registration import Page
from services.store.pool import Pool

TIMES = ("since", "until")


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
        )

    async def get(self, id_: str) -> Resend | None:
        """Return one."""
        row = await self._pool.fetchrow("page_resends", id_, None, None, 1)
        return _job(row, waiting=row["waiting"]) if row else None

    async def page(self, project_id: str | None, page: Page) -> Sequence[Resend]:
        """Return those of a project (None: all), newest first."""
        rows = await self._pool.fetch("page_resends", None, project_id, page.before, page.limit)
        return [_job(row, waiting=row["waiting"]) for row in rows]

    async def cancel(self, id_: str, *, at: datetime) -> bool:
        """End one that isn't over; tell whether it wasn't."""
        return await self._pool.fetchrow("cancel_resend", id_, at) is not None

    async def claim(self, worker: str, *, now: datetime, lease: timedelta) -> Resend | None:
        """Return the oldest job that nobody works on; nobody else does now for so long."""
        row = await self._pool.fetchrow("claim_resend", worker, now, lease)
        return _job(row, waiting=0) if row else None

    async def move(
        self, job: Resend, worker: str, *, limit: int, now: datetime, lease: timedelta
    ) -> int | None:
        """Make up to *limit* more due; return how many, None where the job is *worker*'s no more."""
        row = await self._pool.fetchrow(
            "move_dead_letters", *job.asked, job.id, worker, limit, now, lease
        )
        return row["count"] if row else None

    async def waiting(self, id_: str) -> int:
        """Return how many of a job were not tried yet."""
        row = await self._pool.fetchrow("waiting_of_resend", id_)
        return row["count"] if row else 0

    async def finish(
        self, job: Resend, worker: str, *, state: JobState, error: str | None, at: datetime
    ) -> bool:
        """End a job; tell whether it still was *worker*'s."""
        row = await self._pool.fetchrow("finish_resend", job.id, worker, state.value, error, at)
        return row is not None


def _job(row: asyncpg.Record, *, waiting: int) -> Resend:
    asked = orjson.loads(row["asked"])
    times = {t: datetime.fromisoformat(asked[t]) if asked[t] else None for t in TIMES}
    return Resend(
        id=row["id"],
        project_id=row["project_id"],
        asked=DeadFilter(**{**asked, **times}),
        until_id=row["until_id"],
        state=JobState(row["state"]),
        total=row["total"],
        done=max(0, row["moved"] - waiting),
        rate=row["rate"],
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
