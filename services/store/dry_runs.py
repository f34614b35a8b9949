"""Table `dry_runs`: filters tried on the log."""

from datetime import datetime, timedelta

import asyncpg
import orjson

from services.kernel.dead_letter import JobState
from services.kernel.dry_run import DryRun
from services.kernel.event import Json
from services.store.pool import Pool


class PostgresDryRuns:
    """The `DryRunStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, job: DryRun) -> None:
        """Store a new job."""
        question = orjson.dumps(job.question).decode()
        await self._pool.execute("add_dry_run", job.id, job.project_id, question, job.created_at)

    async def get(self, id_: str) -> DryRun | None:
        """Return one."""
        row = await self._pool.fetchrow("get_dry_run", id_)
        return _job(row) if row else None

    async def cancel(self, id_: str, *, at: datetime) -> None:
        """End one that isn't over."""
        await self._pool.execute("cancel_dry_run", id_, at)

    async def claim(self, worker: str, *, now: datetime, lease: timedelta) -> DryRun | None:
        """Return the oldest job that nobody works on; nobody else does now for so long."""
        row = await self._pool.fetchrow("claim_dry_run", worker, now, lease)
        return _job(row) if row else None

    async def note(self, id_: str, worker: str, *, done: int, total: int, until: datetime) -> bool:
        """Keep how far it is; tell whether it is still *worker*'s to go on with."""
        found = await self._pool.fetchrow("note_dry_run", id_, worker, done, total, until)
        return found is not None

    async def finish(
        self, job: DryRun, worker: str, *, result: Json | None, error: str | None, at: datetime
    ) -> None:
        """Keep what was found, or why nothing was."""
        state = JobState.DONE if error is None else JobState.FAILED
        text = None if result is None else orjson.dumps(result).decode()
        await self._pool.execute("finish_dry_run", job.id, worker, state.value, text, error, at)

    async def expire(self, *, before: datetime) -> None:
        """Forget those made before."""
        await self._pool.execute("expire_dry_runs", before)


def _job(row: asyncpg.Record) -> DryRun:
    return DryRun(
        id=row["id"],
        project_id=row["project_id"],
        question=orjson.loads(row["question"]),
        state=JobState(row["state"]),
        done=row["done"],
        total=row["total"],
        result=orjson.loads(row["result"]) if row["result"] else None,
        error=row["error"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
