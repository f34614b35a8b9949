"""Table `audit`: entries, written in the transaction of the change that they tell of."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import asyncpg
import orjson

from services.kernel.audit import Entry, EntryFilter
from services.kernel.event import Json
from services.kernel.registration import Page
from services.store.pool import Pool


class PostgresAudit:
    """The `AuditStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    def together(self) -> AbstractAsyncContextManager[None]:
        """Make one transaction of what this task writes inside, through any store of the pool."""
        return self._pool.together()

    async def add(self, entries: Sequence[Entry]) -> None:
        """Store *entries*."""
        await self._pool.execute(
            "add_audit_entries",
            [entry.id for entry in entries],
            [entry.at for entry in entries],
            [entry.actor for entry in entries],
            [entry.address for entry in entries],
            [entry.project_id for entry in entries],
            [entry.action for entry in entries],
            [entry.object_type for entry in entries],
            [entry.object_id for entry in entries],
            [_text(entry.before) for entry in entries],
            [_text(entry.after) for entry in entries],
        )

    async def page(self, asked: EntryFilter, page: Page) -> Sequence[Entry]:
        """Return those that fit, newest first."""
        rows = await self._pool.fetch("page_audit", *asked, page.before, page.limit)
        return [_entry(row) for row in rows]

    async def expire(self, *, before: datetime) -> None:
        """Forget entries from *before*."""
        await self._pool.execute("expire_audit", before)


def _text(document: Json | None) -> str | None:
    return None if document is None else orjson.dumps(document).decode()


def _entry(row: asyncpg.Record) -> Entry:
    documents = {
        side: None if row[side] is None else orjson.loads(row[side]) for side in ("before", "after")
    }
    return Entry(**{**row, **documents})
