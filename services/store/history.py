"""Attempts and statistics, as people look at them.

A list goes day by day, newest first, until the page is full. Where few rows fit (an event, a vehicle)
they are all found first and then put in order; else the index by subscription and start gives the order.
Either way one statement reads the table of one day, the next those of two, of four, …, so that few are
needed for somebody who has an attempt a day. Over all subscriptions no index gives the order: a day is
read in spans, from its end on, each twice as long as the one before, so that few rows too many are put
in order, and a day that has none is read in a few steps.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from services.kernel.history import STATES, DeliveryState, HistoryFilter
from services.kernel.recorded import Recorded
from services.kernel.rollup import ALL, UNCOUNTED, Step, Sums
from services.store.attempt_rows import (
    WORDS,
    edge,
    event_number,
    first_at,
    recorded,
    started,
)
from services.store.attempts import DAY, day_table, sums_of
from services.store.history_search import (
    HIGHEST,
    HIGHEST_TAIL,
    LOWEST,
    Search,
    Span,
    day_of,
    groups_of,
    spans_of,
)
from services.store.pool import Pool


class _Found(NamedTuple):
    """A row, and whether it is known to be its delivery's newest."""

    row: asyncpg.Record
    day_ends: int | None
    """Where later days begin, which may have a newer one; None: they have none."""

    def is_last(self, last: Mapping[tuple[int, int], int]) -> bool:
        """Tell whether no later day has another, by the newest `at` of each event and source."""
        newest = last.get((self.row["event"], self.row["source"]))
        return self.day_ends is None or newest is None or newest < self.day_ends

    def sure(self) -> "_Found":
        """Return it as known to be the newest."""
        return self._replace(day_ends=None)


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
        for moment in (asked.until, asked.as_of):
            if moment is not None:
                top = min(top, (first_at(moment), b""))
        bottom = 0 if asked.since is None else first_at(asked.since)
        return await self._found(asked, Span(bottom, top, is_rising=False), limit)

    async def after(
        self, asked: HistoryFilter, *, after: str | None, limit: int
    ) -> Sequence[Recorded]:
        """Return those that fit, oldest first, above the id *after*."""
        bottom = LOWEST if after is None else edge(after)
        if asked.since is not None:
            bottom = max(bottom, (first_at(asked.since) - 1, HIGHEST_TAIL))
        top = HIGHEST[0] if asked.until is None else first_at(asked.until)
        return await self._found(asked, Span(top, bottom, is_rising=True), limit)

    async def _found(self, asked: HistoryFilter, span: Span, limit: int) -> Sequence[Recorded]:
        # Read down from the moment asked about, the first seen of a delivery is its newest.
        by_sight = asked.deliveries and asked.is_for_all_of_one and _is_first_page(asked, span)
        try:
            search = await self._search(asked, deliveries=asked.deliveries and not by_sight)
        except _Nothing:
            return []
        search.is_rising = span.is_rising
        if by_sight:
            return await self._recorded(await self._first_seen(search, span, limit))
        found: list[_Found] = []
        for tables in groups_of(await self._days(span), alone=search.is_wide):
            found = await self._with_days_of(found, search, tables, span, limit)
            if len(found) >= limit:
                break
        newest = await self._newest(found, search.as_of)
        return await self._recorded([each.row for each in newest])

    async def _first_seen(self, search: Search, span: Span, limit: int) -> Sequence[asyncpg.Record]:
        """Return the first attempt that is read of each delivery."""
        found: dict[tuple[int, int], asyncpg.Record] = {}
        for tables in groups_of(await self._days(span), alone=False):
            beyond, wanted, is_more = span.edge, limit, True
            while len(found) < limit and is_more:
                rows = await self._of_days(search, tables, span.bound, *beyond, wanted)
                for row in rows:
                    found.setdefault((row["event"], row["source"]), row)
                is_more = len(rows) == wanted
                if is_more:  # few deliveries with many attempts
                    beyond, wanted = (rows[-1]["at"], rows[-1]["tail"]), wanted * 2
        return list(found.values())[:limit]

    async def count(self, asked: HistoryFilter) -> tuple[int, int]:
        """Return how many fit, and the bytes of their requests."""
        top = HIGHEST if asked.until is None else (first_at(asked.until), b"")
        bottom = 0 if asked.since is None else first_at(asked.since)
        try:
            search = await self._search(asked, deliveries=asked.deliveries)
        except _Nothing:
            return 0, 0
        count, size = 0, 0
        for table in await self._days(Span(bottom, top, is_rising=False)):
            midnight = first_at(day_of(table) + DAY)
            for row in await self._of_day(
                search.count_sql(table), bottom, *top, midnight, *search.arguments
            ):
                count, size = count + row["count"], size + row["bytes"]
        return count, size

    async def _days(self, span: Span) -> Sequence[str]:
        """Return the tables that *span* lies in, in the order in which it is read."""
        bottom, top = sorted((span.bound, span.edge[0]))
        first = day_table(started(max(bottom, 0)))
        last = "attempts_99999999" if top >= HIGHEST[0] else day_table(started(top))
        rows = await self._pool.fetch("attempt_days")
        days = [row["relname"] for row in rows if first <= row["relname"] <= last]
        return days[::-1] if span.is_rising else days

    async def _with_days_of(
        self, found: list[_Found], search: Search, tables: Sequence[str], span: Span, limit: int
    ) -> list[_Found]:
        """Return *found* with rows of some days, up to *limit*: then all are known to be the newest."""
        spans = spans_of(tables[0], span) if search.is_wide else iter([span])
        for bound, begin, _ in spans:
            beyond, is_more = begin, True
            while len(found) < limit and is_more:
                wanted = limit - len(found)
                rows = await self._of_days(search, tables, bound, *beyond, wanted)
                found += [_Found(row, _end(row) if search.deliveries else None) for row in rows]
                is_more = len(rows) == wanted
                if is_more:  # those that aren't the newest make room for more of these days
                    found = await self._newest(found, search.as_of)
                    beyond = (rows[-1]["at"], rows[-1]["tail"])
        return found

    async def _of_days(
        self, search: Search, tables: Sequence[str], *arguments: object
    ) -> Sequence[asyncpg.Record]:
        """Return the rows of some days; of those that retention has just dropped, none."""
        try:
            async with self._pool.connection() as connection:
                sql = search.sql(tables)
                return list(await connection.fetch(sql, *arguments, *search.arguments))
        except asyncpg.UndefinedTableError:
            left = tables[1:] if search.is_rising else tables[:-1]  # the oldest goes first
            return await self._of_days(search, left, *arguments) if left else []

    async def _of_day(self, sql: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Return the rows of a statement over a day's table; none where retention has just dropped it."""
        try:
            async with self._pool.connection() as connection:
                return list(await connection.fetch(sql, *arguments))
        except asyncpg.UndefinedTableError:
            return []

    async def _newest(self, found: list[_Found], as_of: datetime | None) -> list[_Found]:
        """Return those whose deliveries have no attempt on a later day, as of a moment.

        Asked for all of them at once: each time the tables of all days are looked into.
        """
        unsure = [each for each in found if each.day_ends is not None]
        if not unsure:
            return found
        rows = await self._pool.fetch(
            "attempts_since",
            list({each.row["event"] for each in unsure}),
            min(each.day_ends or 0 for each in unsure),
            HIGHEST[0] if as_of is None else first_at(as_of),
            list({each.row["source"] for each in unsure}),
        )
        last = {(row["event"], row["source"]): row["at"] for row in rows}
        return [each.sure() for each in found if each.is_last(last)]

    async def _search(self, asked: HistoryFilter, *, deliveries: bool) -> Search:
        """Return how to look. Raises _Nothing where a name that is asked for is in no row."""
        search = Search(deliveries=deliveries)
        if asked.project_id is not None or asked.subscription_id is not None:
            rows = await self._pool.fetch(
                "attempt_sources_of", asked.project_id, asked.subscription_id, None
            )
            if not rows:
                raise _Nothing
            search.sources = _among(rows, asked.among)
        await self._named(search, asked)
        search.narrow(asked)
        return search

    async def _named(self, search: Search, asked: HistoryFilter) -> None:
        """Take in what is stored as numbers of words."""
        for column in ("type", "outcome", "verdict"):
            wanted = getattr(asked, column)
            if wanted is not None:
                numbers = await self._numbers([wanted])
                if not numbers:
                    raise _Nothing  # or all of a month would be read for it
                clause = f"{column} = any({search.argument(numbers)})"
                if column == "type":
                    clause = f"({clause} or {search.also(column, wanted)})"
                search.where.append(clause)
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

    async def begins(self) -> datetime | None:
        """Return when the oldest day begins that is kept; None: none is yet."""
        rows = await self._pool.fetch("attempt_days")
        return day_of(rows[-1]["relname"]) if rows else None

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
        among: Collection[str] | None,
        type_: str | None,
        step: Step,
        since: datetime,
        until: datetime,
    ) -> Mapping[datetime, Sums]:
        """Return what was counted between two times, by the beginning of each step."""
        subscription = subscription_id or (ALL if among is None else None)
        sources = await self._pool.fetch("attempt_sources_of", project_id, subscription, None)
        types = await self._numbers([type_ or ALL])
        if not types:
            return {}
        rows = await self._pool.fetch(
            "attempt_stats",
            step.value,
            _among(sources, among),
            since,
            until,
            types[0],
        )
        by_step: dict[datetime, list[asyncpg.Record]] = {}
        for row in rows:
            by_step.setdefault(row["at"], []).append(row)
        return {at: sums_of(*some) for at, some in by_step.items()}

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


def _is_first_page(asked: HistoryFilter, span: Span) -> bool:
    """Tell whether *span* begins with the newest of what is there as of the moment asked about."""
    return asked.as_of is not None and span.edge == (first_at(asked.as_of), b"")


def _among(sources: Sequence[asyncpg.Record], among: Collection[str] | None) -> list[int]:
    """Return the numbers of sources, of some subscriptions alone where *among* names them."""
    return [row["id"] for row in sources if among is None or row["subscription_id"] in among]


def _end(row: asyncpg.Record) -> int:
    """Return where the days after that of an attempt begin."""
    midnight = started(row["at"]).replace(hour=0, minute=0, second=0, microsecond=0)
    return first_at(midnight + DAY)
