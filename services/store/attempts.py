"""Tables of attempts and statistics, as the recorder writes them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import asyncpg
import structlog

from services.kernel.event import Partition
from services.kernel.histogram import packed as packed_histogram
from services.kernel.histogram import unpacked as unpacked_histogram
from services.kernel.ids import half
from services.kernel.ports.history import Written
from services.kernel.recorded import Recorded
from services.kernel.rollup import ALL, Slot, Step, Sums, rolled_up
from services.store.attempt_rows import COLUMNS, Row, first_at, row, words
from services.store.pool import Pool, queries

log = structlog.get_logger()

PREFIX = "attempts_"
DAY = timedelta(days=1)
DAYS_LOCK = 5_743_019_272
LOCK_WAIT = "2s"
"""A day that somebody reads isn't waited for longer: others would wait behind us."""
RUNS_KEPT = timedelta(days=30)
MINUTES_KEPT = timedelta(days=3)
"""Points of a minute are kept for; hours and days as long as attempts."""
MAX_WORDS = 100_000
"""Remembered; beyond it all are looked up again."""


class PostgresAttempts:
    """The `AttemptStore` of the recorder."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool
        self._words: dict[str | None, int | None] = {None: None}
        self._sources: dict[tuple[str, str], int] = {}

    async def next_offset(self, partition: Partition) -> int | None:
        """Return where *partition* goes on; None where it was never begun."""
        found = await self._pool.fetchrow("attempt_offset", *partition)
        return found["next_offset"] if found else None

    async def begin(self, partition: Partition, *, before: int | None, offset: int) -> None:
        """Let *partition* go on at *offset*, if it still stands at *before*."""
        if before is None:
            await self._pool.execute("begin_attempt_offset", *partition, offset)
        else:
            await self._pool.execute("move_attempt_offset", *partition, before, offset)

    async def store(
        self, partition: Partition, records: Sequence[Written], *, before: int, after: int
    ) -> int | None:
        """Store what is new in *records* and go on at *after*, in one transaction."""
        attempts = [attempt for record in records for attempt in record.attempts]
        # Numbers are given in transactions of their own: a word that nothing refers to is harmless.
        await self._number_words(words(attempts) | {ALL})
        sources = set(map(attrgetter("project_id", "subscription_id"), attempts))
        await self._number_sources(sources | {(project_id, ALL) for project_id, _ in sources})
        sql = queries()
        async with self._pool.transaction() as connection:
            # First, since this row's lock makes us the only writer of what else is the partition's.
            moved = await connection.execute(sql["move_attempt_offset"], *partition, before, after)
            if moved == "UPDATE 0":
                return None
            new = await self._unstored(connection, partition, records)
            await self._copy(connection, new)
            await self._count(connection, partition, rolled_up(new))
        return len(new)

    async def _unstored(
        self, connection: asyncpg.Connection, partition: Partition, records: Sequence[Written]
    ) -> list[Recorded]:
        """Return the attempts of records that aren't stored, and note that they are."""
        sql = queries()
        runs = list({record.run for record in records})
        rows = await connection.fetch(sql["attempt_run_numbers"], *partition, runs)
        numbers = {found["run"]: found["number"] for found in rows}
        new: list[Recorded] = []
        for record in records:
            if record.number > numbers.get(record.run, -1):
                numbers[record.run] = record.number
                new += record.attempts
        await connection.execute(
            sql["note_attempt_runs"], *partition, list(numbers), list(numbers.values())
        )
        return new

    async def _copy(self, connection: asyncpg.Connection, attempts: Iterable[Recorded]) -> None:
        """Write the rows, each into the table of its day.

        By subscription, then by start: what lies side by side in the table lies so in the index too,
        whose pages Postgres fills to the end then, and leaves half empty otherwise.
        """
        days: dict[int, list[Row]] = {}
        for attempt in attempts:
            source = self._sources[attempt.project_id, attempt.subscription_id]
            day = int(attempt.started_at // 86_400)
            days.setdefault(day, []).append(row(attempt, source, self._words))
        for day, rows in days.items():
            rows.sort()
            await connection.copy_records_to_table(
                day_table(datetime.fromtimestamp(day * 86_400, UTC)), records=rows, columns=COLUMNS
            )

    async def _count(
        self, connection: asyncpg.Connection, partition: Partition, added: Mapping[Slot, Sums]
    ) -> None:
        """Add to the statistics."""
        if not added:
            return
        sql = queries()
        sums = {self._key(slot): counted for slot, counted in added.items()}
        there = await connection.fetch(
            sql["attempt_stats_for_update"], *partition, *_columns(sums, 4)
        )
        for found in there:
            sums[found["step"], found["source"], found["at"], found["type"]].add(sums_of(found))
        values = [
            (
                one.delivered,
                one.failed,
                one.retried,
                one.dead,
                one.bytes,
                packed_histogram(one.receiver),
                packed_histogram(one.end_to_end),
            )
            for one in sums.values()
        ]
        await connection.execute(
            sql["put_attempt_stats"], *partition, *_columns(sums, 4), *_columns(values, 7)
        )

    def _key(self, slot: Slot) -> tuple[str, int, datetime, int]:
        source = self._sources[slot.project_id, slot.subscription_id]
        type_ = self._words[slot.type]
        assert type_ is not None  # noqa: S101 - numbered with the attempt it is of
        return slot.step.value, source, slot.at, type_

    async def _number_words(self, wanted: set[str | None]) -> None:
        if len(self._words) > MAX_WORDS:
            self._words = {None: None}
        missing = [word for word in wanted if word is not None and word not in self._words]
        if missing:
            await self._pool.execute("add_attempt_words", missing)
            rows = await self._pool.fetch("attempt_words", missing)
            self._words.update({found["word"]: found["id"] for found in rows})

    async def _number_sources(self, wanted: set[tuple[str, str]]) -> None:
        missing = [pair for pair in wanted if pair not in self._sources]
        if missing:
            projects, subscriptions = zip(*missing, strict=True)
            halves = list(map(half, subscriptions))
            await self._pool.execute("add_attempt_sources", projects, subscriptions, halves)
            rows = await self._pool.fetch("attempt_sources", projects, subscriptions)
            self._sources.update(
                {(found["project_id"], found["subscription_id"]): found["id"] for found in rows}
            )

    async def make_days(self, days: Collection[datetime]) -> None:
        """Make the tables of days that have none."""
        there = {found["relname"] for found in await self._pool.fetch("attempt_days")}
        for day in days:
            name = day_table(day)
            if name in there:
                continue
            async with self._pool.transaction() as connection:
                # Several recorders may come to midnight at once.
                await connection.execute(f"select pg_advisory_xact_lock({DAYS_LOCK})")
                if await connection.fetchval("select to_regclass($1) is null", name):
                    # Attached, it takes no lock that readers of other days would wait for. With
                    # defaults: of columns that a later version adds and this one doesn't write.
                    await connection.execute(
                        f"create table {name} (like attempts including defaults)"
                    )
                    await connection.execute(
                        f"alter table attempts attach partition {name} for values"
                        f" from ({first_at(day)}) to ({first_at(day + DAY)})"
                    )

    async def expire(self, *, before: datetime, now: datetime) -> Sequence[str]:
        """Drop the tables of days that ended before then; return their names."""
        last = day_table(before - DAY)
        rows = await self._pool.fetch("attempt_days")
        dropped = []
        for name in sorted(found["relname"] for found in rows if found["relname"] <= last):
            try:
                async with self._pool.transaction() as connection:
                    await connection.execute(f"set local lock_timeout = '{LOCK_WAIT}'")
                    await connection.execute(f"drop table {name}")
            except (asyncpg.LockNotAvailableError, asyncpg.UndefinedTableError) as error:
                log.info("attempts_day_kept", table=name, error=str(error))  # until the next time
            else:
                dropped.append(name)
        await self._pool.execute("expire_attempt_stats", Step.HOUR, before)
        await self._pool.execute("expire_attempt_stats", Step.DAY, before)
        await self._pool.execute("expire_attempt_stats", Step.MINUTE, now - MINUTES_KEPT)
        await self._pool.execute("expire_attempt_runs", now - RUNS_KEPT)
        return dropped


def day_table(day: datetime) -> str:
    """Return the name of a day's table; sorts by day."""
    return f"{PREFIX}{day:%Y%m%d}"


def sums_of(*rows: asyncpg.Record) -> Sums:
    """Return what rows of the statistics say together."""
    return Sums(
        sum(row["delivered"] for row in rows),
        sum(row["failed"] for row in rows),
        sum(row["retried"] for row in rows),
        sum(row["dead"] for row in rows),
        sum(row["bytes"] for row in rows),
        unpacked_histogram(*(row["receiver"] for row in rows)),
        unpacked_histogram(*(row["end_to_end"] for row in rows)),
    )


def _columns(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    found: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(width)]
