"""Attempts and statistics, as people look at them.

A list goes day by day, newest first, until the page is full: each statement reads the table of one day,
and no lock is ever held on the others. Where few rows fit (an event, a vehicle) they are all found first
and then put in order; else the index by subscription and start gives them in order. Over all
subscriptions no index does: a day is read in spans, from its end on, each twice as long as the one
before, so that few rows too many are put in order, and a day that has none is read in a few steps.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import asyncpg

from services.kernel.history import STATES, DeliveryState, HistoryFilter
from services.kernel.ids import half
from services.kernel.recorded import Recorded
from services.kernel.rollup import UNCOUNTED, Step, Sums
from services.store.attempt_rows import (
    ENTITIES,
    FRACTIONS,
    WORDS,
    edge,
    event_number,
    first_at,
    packed,
    recorded,
    started,
)
from services.store.attempts import DAY, day_table, sums_of
from services.store.pool import Pool, queries

Edge: TypeAlias = tuple[int, bytes]
"""Above an attempt: `at` and `tail`."""
HIGHEST: Edge = ((1 << 56) - 1, b"")
MANY_SOURCES = 200
"""Subscriptions whose newest attempts are looked up one by one; for more, the day is read in order."""


class _Nothing(Exception):  # noqa: N818 - it ends a search, and is no error
    """Nothing can fit."""


class PostgresHistory:
    """The `HistoryStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool
        self._words: dict[int | None, str] = {}
        self._sources: dict[int, tuple[str, str]] = {}

    async def page(
        self, asked: HistoryFilter, *, before: str | None, limit: int
    ) -> Sequence[Recorded]:
        """Return those that fit, newest first, below the id *before*."""
        top = HIGHEST if before is None else edge(before)
        if asked.until is not None:
            top = min(top, (first_at(asked.until), b""))
        bottom = 0 if asked.since is None else first_at(asked.since)
        try:
            search = await self._search(asked)
        except _Nothing:
            return []
        found: list[asyncpg.Record] = []
        for table in await self._days(bottom, top):
            async for rows in self._of_day(search, table, bottom, top, limit - len(found)):
                found += rows
            if len(found) >= limit:
                break
        return await self._recorded(found)

    async def _days(self, bottom: int, top: Edge) -> Sequence[str]:
        first = day_table(started(bottom))
        last = "attempts_99999999" if top == HIGHEST else day_table(started(top[0]))
        rows = await self._pool.fetch("attempt_days")
        return [row["relname"] for row in rows if first <= row["relname"] <= last]

    async def _of_day(
        self, search: "_Search", table: str, bottom: int, top: Edge, limit: int
    ) -> AsyncGenerator[Sequence[asyncpg.Record], None]:
        """Yield up to *limit* rows of a day; of deliveries those that no later day has again."""
        spans = _spans(table, bottom, top) if search.is_wide else iter([(bottom, top)])
        for low, high in spans:
            below, is_more = high, True
            while limit > 0 and is_more:
                async with self._pool.connection() as connection:
                    rows = await connection.fetch(
                        search.sql(table), low, *below, limit, *search.arguments
                    )
                    kept = await _newest(connection, table, rows) if search.deliveries else rows
                yield kept
                is_more = len(rows) == limit
                limit -= len(kept)
                if is_more:
                    below = (rows[-1]["at"], rows[-1]["tail"])

    async def _search(self, asked: HistoryFilter) -> "_Search":
        """Return how to look. Raises _Nothing where a name that is asked for is in no row."""
        search = _Search(deliveries=asked.deliveries)
        if asked.project_id is not None or asked.subscription_id is not None:
            rows = await self._pool.fetch(
                "attempt_sources_of", asked.project_id, asked.subscription_id, None
            )
            if not rows:
                raise _Nothing
            search.sources = [row["id"] for row in rows]
        await self._named(search, asked)
        search.narrow(asked)
        return search

    async def _named(self, search: "_Search", asked: HistoryFilter) -> None:
        """Take in what is stored as numbers of words."""
        for column, wanted in (("type", asked.type), ("outcome", asked.outcome)):
            if wanted is not None:
                numbers = await self._numbers([wanted])
                search.where.append(f"{column} = any({search.argument(numbers)})")
        if asked.verdict is not None:
            numbers = await self._numbers([asked.verdict])
            search.where.append(f"verdict = any({search.argument(numbers)})")
        if asked.state is not None:
            fitting = [verdict for verdict, state in STATES.items() if state == asked.state]
            clause = f"verdict = any({search.argument(await self._numbers(fitting))})"
            undecided = " or verdict is null" if asked.state == DeliveryState.PARKED else ""
            search.where.append(f"({clause}{undecided})")
        if asked.deliveries:
            tests = await self._numbers([trigger.value for trigger in UNCOUNTED])
            search.where.append(f"trigger <> all({search.argument(tests)})")

    async def _numbers(self, words: Sequence[str]) -> list[int]:
        rows = await self._pool.fetch("attempt_words", list(words))
        return [row["id"] for row in rows]

    async def get(self, id_: str) -> Recorded | None:
        """Return one attempt."""
        async with self._pool.connection() as connection:
            rows = await connection.fetch(
                "select * from attempts where at = $1 and tail = $2", *edge(id_)
            )
        found = await self._recorded(rows)
        return found[0] if found else None

    async def of_delivery(self, delivery_id: str) -> Sequence[Recorded]:
        """Return all attempts of a delivery, oldest first."""
        receiver = bytes.fromhex(delivery_id[12:])
        sources = await self._pool.fetch("attempt_sources_of", None, None, receiver)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(
                "select * from attempts where event = $1 and source = any($2) order by at, tail",
                event_number(bytes.fromhex(delivery_id[:12])),
                [row["id"] for row in sources],
            )
        return await self._recorded(rows)

    async def body(self, subscription_id: str, event_id: str) -> tuple[str, bytes, str] | None:
        """Return type, body and content type of a delivery that failed, as they go out."""
        row = await self._pool.fetchrow("delivery_body", subscription_id, event_id)
        return (row["type"], row["body"], row["content_type"]) if row else None

    async def points(
        self,
        *,
        project_id: str | None,
        subscription_id: str | None,
        type_: str | None,
        step: Step,
        since: datetime,
        until: datetime,
    ) -> Mapping[datetime, Sums]:
        """Return what was counted between two times, by the beginning of each step."""
        sources = await self._pool.fetch("attempt_sources_of", project_id, subscription_id, None)
        types = [] if type_ is None else await self._numbers([type_])
        if type_ is not None and not types:
            return {}
        rows = await self._pool.fetch(
            "attempt_stats",
            step.value,
            [row["id"] for row in sources],
            since,
            until,
            types[0] if types else None,
        )
        found: dict[datetime, Sums] = {}
        for row in rows:
            found.setdefault(row["at"], Sums()).add(sums_of(row))
        return found

    async def _recorded(self, rows: Sequence[asyncpg.Record]) -> Sequence[Recorded]:
        """Return the rows with their words and ids."""
        numbers = {row[name] for row in rows for name in WORDS}
        missing = [n for n in numbers if n is not None and n not in self._words]
        if missing:
            for word in await self._pool.fetch("attempt_words_by_id", missing):
                self._words[word["id"]] = word["word"]
        unknown = [n for n in {row["source"] for row in rows} if n not in self._sources]
        if unknown:
            for one in await self._pool.fetch("attempt_sources_by_id", unknown):
                self._sources[one["id"]] = (one["project_id"], one["subscription_id"])
        return [recorded(row, self._words, self._sources[row["source"]]) for row in rows]


class _Search:
    """A statement over the table of a day: $1 to $3 say from where to where, $4 how many."""

    def __init__(self, *, deliveries: bool) -> None:
        self.deliveries = deliveries
        self.sources: list[int] | None = None
        self.where: list[str] = []
        self.few: list[str] = []
        """What so few rows fit that all are found first."""
        self.arguments: list[Any] = []

    @property
    def is_wide(self) -> bool:
        """Whether no index gives what fits, or gives it in order."""
        return self.sources is None and not self.few

    def argument(self, value: object) -> str:
        """Take in a value; return what stands for it."""
        self.arguments.append(value)
        return f"${len(self.arguments) + 4}"

    def narrow(self, asked: HistoryFilter) -> None:
        """Take in what columns say as it is; last the subscriptions."""
        if asked.status is not None:
            self.where.append(f"status = {self.argument(asked.status)}")
        if asked.status_class is not None:
            first = asked.status_class * 100
            self.where.append(
                f"status between {self.argument(first)} and {self.argument(first + 99)}"
            )
        if asked.text is not None:
            text = self.argument(asked.text)
            self.where.append(f"position(lower({text}::text) in lower(excerpt)) > 0")
        self._find_few(asked)
        if self.sources is not None and (self.few or len(self.sources) > MANY_SOURCES):
            self.where.append(f"source = any({self.argument(self.sources)})")
            self.sources = None
        elif self.sources is not None:
            self.arguments.append(self.sources)

    def _find_few(self, asked: HistoryFilter) -> None:
        """Take in what is looked for by an index of its own."""
        if asked.event_id is not None:
            number = event_number(half(asked.event_id))
            self.few.append(f"event = {self.argument(number)}")
            self.where.append(f"event_id = {self.argument(packed(asked.event_id))}")
        for name in ENTITIES:
            text = getattr(asked, name)
            if text is not None:
                self.few.append(f"{name} = {self.argument(packed(text))}")
        if asked.external_id is not None:
            self.few.append(f"external_id = {self.argument(asked.external_id)}")

    def sql(self, table: str) -> str:
        """Return the statement for one day: names of ours, values as arguments."""
        newest = (
            f" and not exists (select from {table} n where n.event = a.event"
            " and n.source = a.source and (n.at, n.tail) > (a.at, a.tail))"
            if self.deliveries
            else ""
        )
        clauses = "".join(f" and {clause}" for clause in self.where)
        span = "at >= $1 and (at, tail) < ($2, $3)"
        order = f"{span}{clauses}{newest} order by at desc, tail desc limit $4"
        if self.few:
            few = " and ".join(self.few)
            found = f"with few as materialized (select * from {table} where {few})"  # noqa: S608
            return f"{found} select * from few a where {order}"  # noqa: S608
        if self.sources is not None:
            number = len(self.arguments) + 4
            each = f"select * from {table} a where source = s.source_id and {order}"  # noqa: S608
            found = f"select found.* from unnest(${number}::integer[]) as s (source_id)"  # noqa: S608
            return f"{found}, lateral ({each}) found order by at desc, tail desc limit $4"
        return f"select * from {table} a where {order}"  # noqa: S608


def _spans(table: str, bottom: int, top: Edge) -> Iterator[tuple[int, Edge]]:
    """Yield spans of a day that follow each other, the newest first."""
    day = _day(table)
    bottom = max(bottom, first_at(day))
    top = min(top, (first_at(day + DAY), b""))
    length = FRACTIONS
    while top[0] >= bottom and top > (bottom, b""):
        low = max(bottom, top[0] - length)
        yield low, top
        top = (low, b"")
        length *= 2


def _day(table: str) -> datetime:
    return datetime.strptime(table[-8:], "%Y%m%d").replace(tzinfo=UTC)


async def _newest(
    connection: asyncpg.Connection, table: str, rows: Sequence[asyncpg.Record]
) -> Sequence[asyncpg.Record]:
    """Return the rows of a day whose deliveries have no attempt on a later day."""
    if not rows:
        return rows
    later = await connection.fetch(
        queries()["attempts_since"],
        list({row["event"] for row in rows}),
        first_at(_day(table) + DAY),
    )
    again = {(row["event"], row["source"]) for row in later}
    return [row for row in rows if (row["event"], row["source"]) not in again]
