"""Statements over the table of a day: what is asked for becomes clauses and arguments. Reads nothing."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias

from services.kernel.about import term
from services.kernel.history import HistoryFilter
from services.kernel.ids import half
from services.store.attempt_rows import COLUMNS, ENTITIES, FRACTIONS, event_number, first_at, packed
from services.store.attempts import DAY

Edge: TypeAlias = tuple[int, bytes]
"""Above an attempt: `at` and `tail`."""
HIGHEST: Edge = ((1 << 56) - 1, b"")
LOWEST: Edge = (-1, b"")
HIGHEST_TAIL = b"\xff" * 6
MANY_SOURCES = 200
"""Subscriptions whose newest attempts are looked up one by one; for more, the day is read in order."""
_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)
"""By name: in which order a day's table has them depends on the version that made it."""
SPAN = "at >= $1 and (at, tail) < ($2, $3)"


class Span(NamedTuple):
    """From *edge*, which isn't in it, to *bound*: downwards from the newest, or rising."""

    bound: int
    edge: Edge
    is_rising: bool


class Search:
    """A statement over the table of a day: $1 to $3 say from where to where, $4 how many."""

    def __init__(self, *, deliveries: bool) -> None:
        self.deliveries = deliveries
        self.is_rising = False
        self.sources: list[int] | None = None
        self.as_of: datetime | None = None
        self._there = ""
        """Of a newer attempt: that it is there by then."""
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
        if self.deliveries and asked.as_of is not None:
            self.as_of = asked.as_of
            self._there = f" and n.at < {self.argument(first_at(asked.as_of))}"
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
            also = self.also("event_id", asked.event_id)
            self.few.append(f"(event = {self.argument(number)} or {also})")
            self.where.append(f"(event_id = {self.argument(packed(asked.event_id))} or {also})")
        for name in ENTITIES:
            text = getattr(asked, name)
            if text is not None:
                is_it = f"{name} = {self.argument(packed(text))}"
                self.few.append(f"({is_it} or {self.also(name, text)})")
        if asked.external_id is not None:
            is_it = f"external_id = {self.argument(asked.external_id)}"
            self.few.append(f"({is_it} or {self.also('external_id', asked.external_id)})")

    def also(self, name: str, text: str) -> str:
        """Return the clause that finds a batch by what one of its events is about."""
        return f"also @> {self.argument([term(name, text)])}::text[]"

    def sql(self, tables: Sequence[str]) -> str:
        """Return the statement for some days: names of ours, values as arguments."""
        if len(tables) == 1:
            return self._day_sql(tables[0])
        days = (f"(select {_COLUMNS} from ({self._day_sql(table)}) a)" for table in tables)  # noqa: S608
        return f"select * from ({' union all '.join(days)}) a {self._outer}"  # noqa: S608

    @property
    def _outer(self) -> str:
        return f"order by {'at, tail' if self.is_rising else 'at desc, tail desc'} limit $4"

    def _day_sql(self, table: str) -> str:
        clauses = "".join(f" and {clause}" for clause in self.where) + self._newest(table)
        span, outer = "at < $1 and (at, tail) > ($2, $3)" if self.is_rising else SPAN, self._outer
        order = f"{span}{clauses} {outer}"
        if self.few:
            few = " and ".join(self.few)
            found = f"with few as materialized (select * from {table} where {few})"  # noqa: S608
            return f"{found} select * from few a where {order}"  # noqa: S608
        if self.sources is not None:
            number = len(self.arguments) + 4
            each = f"select * from {table} a where source = s.source_id and {order}"  # noqa: S608
            found = f"select found.* from unnest(${number}::integer[]) as s (source_id)"  # noqa: S608
            return f"{found}, lateral ({each}) found {outer}"
        return f"select * from {table} a where {order}"  # noqa: S608

    def count_sql(self, table: str) -> str:
        """Return the statement that counts those of one day, but for what a later day, $4, has again."""
        clauses = "".join(f" and {clause}" for clause in self.where) + self._newest(table)
        for clause in self.few:
            clauses += f" and {clause}"
        if self.sources is not None:
            clauses += f" and source = any(${len(self.arguments) + 4})"
        later = (
            "not exists (select from attempts n where n.event = a.event and n.source = a.source"
            f" and n.at >= $4{self._there})"
            if self.deliveries
            else "$4::bigint > 0"
        )
        counted = "count(*) as count, coalesce(sum(size), 0)::bigint as bytes"
        return f"select {counted} from {table} a where {SPAN}{clauses} and {later}"  # noqa: S608

    def _newest(self, table: str) -> str:
        if not self.deliveries:
            return ""
        return (
            f" and not exists (select from {table} n where n.event = a.event"
            f" and n.source = a.source and (n.at, n.tail) > (a.at, a.tail){self._there})"
        )


def groups_of(days: Sequence[str], *, alone: bool) -> Iterator[Sequence[str]]:
    """Yield days that are read with one statement: one, two more, four more, ….

    Who has an attempt a day is then looked for in the 30 tables of a month with five statements. Where a
    day is read in spans, each stands *alone*.
    """
    begin, size = 0, 1
    while begin < len(days):
        yield days[begin : begin + size]
        begin, size = begin + size, 1 if alone else size * 2


def spans_of(table: str, span: Span) -> Iterator[Span]:
    """Yield spans of a day that follow each other."""
    first, end = first_at(day_of(table)), first_at(day_of(table) + DAY)
    length = FRACTIONS
    bound, begin, is_rising = span
    if is_rising:
        bound, begin = min(bound, end), max(begin, (first - 1, HIGHEST_TAIL))
        while begin[0] < bound - 1 or (begin[0] == bound - 1 and begin[1] < HIGHEST_TAIL):
            high = min(bound, begin[0] + 1 + length)
            yield Span(high, begin, is_rising)
            begin = (high - 1, HIGHEST_TAIL)
            length *= 2
        return
    bound, begin = max(bound, first), min(begin, (end, b""))
    while begin > (bound, b""):
        low = max(bound, begin[0] - length)
        yield Span(low, begin, is_rising)
        begin = (low, b"")
        length *= 2


def day_of(table: str) -> datetime:
    """Return the midnight that the table of a day begins at."""
    return datetime.strptime(table[-8:], "%Y%m%d").replace(tzinfo=UTC)
