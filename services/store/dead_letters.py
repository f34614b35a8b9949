"""Table `dead_letters`, as people see it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from services.kernel.dead_letter import Among, Cause, DeadFilter, DeadLetter
from services.kernel.event import Partition, Position
from services.kernel.registration import Page
from services.store.pool import Pool


class PostgresDeadLetters:
    """The `DeadLetterStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def page(self, asked: DeadFilter, page: Page) -> Sequence[DeadLetter]:
        """Return those that fit, newest first."""
        rows = await self._pool.fetch("page_dead_letters", *asked, page.before, page.limit)
        return [_letter(row) for row in rows]

    async def causes(self, asked: DeadFilter, *, limit: int) -> Sequence[Cause]:
        """Return who failed how, the most first."""
        rows = await self._pool.fetch("dead_causes", *asked, limit)
        return [Cause(**row) for row in rows]

    async def count(self, asked: DeadFilter) -> Among:
        """Return how many fit, and what they weigh."""
        row = await self._pool.fetchrow("count_dead_letters", *asked)
        return Among(**row) if row else Among(count=0, bytes=0, last=None)

    async def of(self, subscription_id: str, event_id: str) -> str | None:
        """Return the id of a delivery's dead letter; None: it has none."""
        row = await self._pool.fetchrow("dead_letter_of", subscription_id, event_id)
        return row["id"] if row else None

    async def discard(self, asked: DeadFilter) -> int:
        """Forget those that fit; return how many."""
        return await self._pool.execute("discard_dead_letters", *asked)

    async def expire(self, *, before: datetime) -> None:
        """Forget what was given up before then."""
        await self._pool.execute("expire_dead_letters", before)

    async def evict(self, *, bytes_: int) -> Mapping[str, int]:
        """Forget the oldest of each project beyond so many bytes; return how many of which."""
        rows = await self._pool.fetch("evict_dead_letters", bytes_)
        return {row["project_id"]: row["count"] for row in rows}


def _letter(row: asyncpg.Record) -> DeadLetter:
    return DeadLetter(
        id=row["id"],
        event_id=row["event_id"],
        subscription_id=row["subscription_id"],
        project_id=row["project_id"],
        type=row["type"],
        position=Position(Partition(row["topic"], row["partition"]), row["offset"]),
        key=row["order_key"],
        attempts=row["attempts"],
        reason=row["reason"],
        outcome=row["outcome"],
        status=row["status"],
        error=row["error"],
        response=row["response"],
        size=row["size"],
        dead_at=row["dead_at"],
    )
