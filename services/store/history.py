"""Attempts and statistics, as people look at them.

A list goes day by day, newest first, until the page is full: each statement reads the table of one day,
and no lock is ever held on the others. Where few rows fit (an event, a vehicle) they are all found first
and then put in order; else the index by id, or by subscription and id, gives them in order.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import orjson

from services.kernel.about import About
from services.kernel.attempt import Outcome
from services.kernel.delivery import Trigger
from services.kernel.event import Partition, Position
from services.kernel.history import STATES, DeliveryState, HistoryFilter
from services.kernel.ids import delivery_id
from services.kernel.recorded import Recorded
from services.kernel.rollup import UNCOUNTED, Step, Sums
from services.store.attempt_rows import FRACTIONS, event_number, first_id, packed, started, unpacked
from services.store.attempts import day_table, sums_of
from services.store.pool import Pool, queries

HIGHEST = b"\xff" * 12
MANY_SOURCES = 200
"""Subscriptions whose newest attempts are looked up one by one; for more, the day is read in order."""
ENTITIES = ("plan_id", "route_id", "stop_id", "vehicle_id")


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
        top = HIGHEST if before is None else bytes.fromhex(before)
        if asked.until is not None:
            top = min(top, first_id(asked.until))
        bottom = bytes(12) if asked.since is None else first_id(asked.since)
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

    async def _days(self, bottom: bytes, top: bytes) -> Sequence[str]:
        first = day_table(started(bottom))
        last = "attempts_99999999" if top == HIGHEST else day_table(started(top))
        rows = await self._pool.fetch("attempt_days")
        return [row["relname"] for row in rows if first <= row["relname"] <= last]

    async def _of_day(
        self, search: "_Search", table: str, bottom: bytes, top: bytes, limit: int
    ) -> AsyncGenerator[Sequence[asyncpg.Record], None]:
        """Yield up to *limit* rows of a day; of deliveries those that no later day has again."""
        while limit > 0:
            async with self._pool.connection() as connection:
                rows = await connection.fetch(
                    search.sql(table), bottom, top, limit, *search.arguments
                )
                kept = await _newest(connection, table, rows) if search.deliveries else rows
            yield kept
            if len(rows) < limit:
                return
            limit -= len(kept)
            top = rows[-1]["id"]

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
        number = bytes.fromhex(id_)
        if number[0] == HIGHEST[0]:
            return None  # of a time that no calendar has
        async with self._pool.connection() as connection:
            rows = await connection.fetch("select * from attempts where id = $1", number)
        found = await self._recorded(rows)
        return found[0] if found else None

    async def of_delivery(self, delivery_id: str) -> Sequence[Recorded]:
        """Return all attempts of a delivery, oldest first."""
        half = bytes.fromhex(delivery_id[12:])
        sources = await self._pool.fetch("attempt_sources_of", None, None, half)
        async with self._pool.connection() as connection:
            rows = await connection.fetch(
                "select * from attempts where event = $1 and source = any($2) order by id",
                event_number(delivery_id),
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
        columns = ("type", "trigger", "outcome", "verdict", "reason", "topic", "address")
        numbers = {row[name] for row in rows for name in columns}
        missing = [n for n in numbers if n is not None and n not in self._words]
        if missing:
            for word in await self._pool.fetch("attempt_words_by_id", missing):
                self._words[word["id"]] = word["word"]
        unknown = [n for n in {row["source"] for row in rows} if n not in self._sources]
        if unknown:
            for one in await self._pool.fetch("attempt_sources_by_id", unknown):
                self._sources[one["id"]] = (one["project_id"], one["subscription_id"])
        return [_of_row(row, self._words, self._sources[row["source"]]) for row in rows]


class _Search:
    """A statement over the table of a day: $1 and $2 are ids, $3 how many, more as needed."""

    def __init__(self, *, deliveries: bool) -> None:
        self.deliveries = deliveries
        self.sources: list[int] | None = None
        self.where: list[str] = []
        self.few: list[str] = []
        """What so few rows fit that all are found first."""
        self.arguments: list[Any] = []

    def argument(self, value: object) -> str:
        """Take in a value; return what stands for it."""
        self.arguments.append(value)
        return f"${len(self.arguments) + 3}"

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
            number = event_number(delivery_id(asked.event_id, ""))
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
            " and n.source = a.source and n.id > a.id)"
            if self.deliveries
            else ""
        )
        clauses = "".join(f" and {clause}" for clause in self.where)
        order = f"id >= $1 and id < $2{clauses}{newest} order by id desc limit $3"
        if self.few:
            few = " and ".join(self.few)
            found = f"with few as materialized (select * from {table} where {few})"  # noqa: S608
            return f"{found} select * from few a where {order}"  # noqa: S608
        if self.sources is not None:
            number = len(self.arguments) + 3
            each = f"select * from {table} a where source = s.source_id and {order}"  # noqa: S608
            found = f"select found.* from unnest(${number}::integer[]) as s (source_id)"  # noqa: S608
            return f"{found}, lateral ({each}) found order by id desc limit $3"
        return f"select * from {table} a where {order}"  # noqa: S608


async def _newest(
    connection: asyncpg.Connection, table: str, rows: Sequence[asyncpg.Record]
) -> Sequence[asyncpg.Record]:
    """Return the rows of a day whose deliveries have no attempt on a later day."""
    if not rows:
        return rows
    midnight = datetime.strptime(table[-8:], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1)
    later = await connection.fetch(
        queries()["attempts_since"], list({row["event"] for row in rows}), first_id(midnight)
    )
    again = {(row["event"], row["source"]) for row in later}
    return [row for row in rows if (row["event"], row["source"]) not in again]


def _of_row(
    row: asyncpg.Record, words: Mapping[int | None, str], source: tuple[str, str]
) -> Recorded:
    project_id, subscription_id = source
    event_id = unpacked(row["event_id"])
    topic = words.get(row["topic"])
    return Recorded(
        id=row["id"].hex(),
        delivery_id=delivery_id(event_id, subscription_id),
        event_id=event_id,
        about=About(
            words[row["type"]],
            **{name: _unpacked(row[name]) for name in ENTITIES},
            external_id=row["external_id"],
        ),
        subscription_id=subscription_id,
        project_id=project_id,
        position=Position(Partition(topic, row["partition"]), row["offset"]) if topic else None,
        key=_unpacked(row["key"]),
        number=row["number"],
        trigger=Trigger(words[row["trigger"]]),
        replay=row["replay"],
        produced_ms=row["produced_ms"],
        size=row["size"],
        started_ms=int.from_bytes(row["id"][:7], "big") * 1000 / FRACTIONS,
        **{name: _ms(row[name]) for name in _PHASES},
        address=words.get(row["address"]),
        outcome=Outcome(words[row["outcome"]]),
        status=row["status"],
        headers=_headers(row["headers"]),
        excerpt=row["excerpt"] or "",
        error=row["error"],
        verdict=words.get(row["verdict"]),
        reason=words.get(row["reason"]),
        next_ms=None if row["next_at"] is None else row["next_at"].timestamp() * 1000,
        trace_id=None if row["trace_id"] is None else row["trace_id"].hex(),
    )


_PHASES = ("queue_ms", "connect_ms", "tls_ms", "first_byte_ms", "total_ms")


def _ms(value: float | None) -> Any:  # noqa: ANN401 - None where the column may be
    return None if value is None else round(value, 3)


def _unpacked(data: bytes | None) -> str | None:
    return None if data is None else unpacked(data)


def _headers(text: str | None) -> tuple[tuple[str, str], ...]:
    pairs: Iterable[Sequence[str]] = orjson.loads(text) if text else ()
    return tuple((name, value) for name, value in pairs)
