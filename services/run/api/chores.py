"""What runs beside the requests: forgetting what is old, and looking whether Postgres answers."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.observe import metrics
from services.run.api.stores import Stores
from services.settings import Settings
from services.store.dead_letters import PostgresDeadLetters
from services.store.pool import Pool

log = structlog.get_logger()

CLEAN_SECONDS = 3600.0
EVICT_SECONDS = 60.0
PING_SECONDS = 2.0


class Expire(Protocol):
    """Forgets what is older than a moment."""

    async def __call__(self, *, before: datetime) -> None:
        """Forget it. Raises StoreGoneError."""


class Chore(NamedTuple):
    """Something that is kept for a while."""

    what: str
    expire: Expire
    kept: timedelta


def chores(stores: Stores, settings: Settings) -> list[Chore]:
    """Return how long is kept what ends by itself."""
    return [
        Chore("answers", stores.answers.expire, timedelta(hours=settings.api.idempotency_hours)),
        Chore("audit", stores.audit.expire, timedelta(days=settings.api.audit_days)),
        Chore("portal_links", stores.portal_links.expire, timedelta(days=30)),
        Chore("dry_runs", stores.dry_runs.expire, timedelta(days=1)),
        Chore("match_counts", stores.match_counts.expire, timedelta(days=1, hours=1)),
        Chore(
            "dead_letters",
            stores.dead_letters.expire,
            timedelta(days=settings.retry.dead_letter_days),
        ),
    ]


async def clean(chores: Sequence[Chore], *, clock: Clock) -> None:
    """Forget what nobody may ask for any more, every hour."""
    while True:
        for chore in chores:
            try:
                await chore.expire(before=clock.now() - chore.kept)
            except StoreGoneError as error:
                log.warning("cleaning_waits", what=chore.what, error=str(error))
        await asyncio.sleep(CLEAN_SECONDS)


async def evict(letters: PostgresDeadLetters, *, most: int) -> None:
    """Forget the oldest dead letters of projects with more than *most* bytes of them; say so."""
    while True:
        try:
            for project_id, count in (await letters.evict(bytes_=most)).items():
                metrics.DEAD_LETTERS_EVICTED.inc(count)
                log.warning("dead_letters_evicted", project_id=project_id, count=count)
        except StoreGoneError as error:
            log.warning("cleaning_waits", what="dead_letters", error=str(error))
        await asyncio.sleep(EVICT_SECONDS)


class Pings:
    """Whether Postgres answers: without it hardly anything can be asked."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._trouble: str | None = None

    def trouble(self) -> str | None:
        """Return why requests would fail; None: they wouldn't."""
        return self._trouble

    async def run(self) -> None:
        """Look every two seconds, until cancelled."""
        while True:
            try:
                async with self._pool.connection() as connection:
                    await connection.execute("select 1")
                self._trouble = None
            except StoreGoneError as error:
                self._trouble = str(error)
            await asyncio.sleep(PING_SECONDS)
