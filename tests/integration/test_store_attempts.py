"""Attempts are stored once, in the table of their day, with where the log goes on."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.about import About
from services.kernel.history import HistoryFilter
from services.kernel.rollup import Step, Sums, rolled_up
from services.store.attempt_rows import packed, unpacked
from services.store.attempts import PostgresAttempts, sums_of
from services.store.history import PostgresHistory
from services.store.history_search import Span
from services.store.pool import Pool
from tests.support.databases import connected
from tests.support.recorded import LOG, a_record, a_recorded
from tests.support.rows import NOW, PROJECT, a_pool

DAY = timedelta(days=1)
SLOTS = 4
"""Of one subscription and type: itself, all types, all subscriptions, all of both."""
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        yield pool


@pytest.fixture
async def store(pool: Pool) -> PostgresAttempts:
    store = PostgresAttempts(pool=pool)
    await store.make_days([MIDNIGHT - DAY, MIDNIGHT])
    await store.begin(LOG, before=None, offset=0)
    return store


async def count(pool: Pool, table: str = "attempts") -> int:
    async with pool.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))  # noqa: S608


async def test_what_is_stored_moves_the_offset_and_counts(
    pool: Pool, store: PostgresAttempts
) -> None:
    attempts = [a_recorded(n) for n in range(10)]
    assert await store.store(LOG, [a_record(*attempts)], before=0, after=1) == 10
    assert await store.next_offset(LOG) == 1
    assert await count(pool) == 10
    async with pool.connection() as connection:
        rows = await connection.fetch("select * from attempt_stats where step = 'day'")
    expected = next(sums for slot, sums in rolled_up(attempts).items() if slot.step is Step.DAY)
    assert [sums_of(row) for row in rows] == [expected] * SLOTS


@pytest.mark.parametrize("key", ["r" * 30, f"{2:024x}", None])
async def test_an_attempt_is_read_as_it_was_stored(
    pool: Pool, store: PostgresAttempts, key: str | None
) -> None:
    also = ("e:1", "x:ü")
    about = About("stop.created", f"{1:024x}", f"{2:024x}", "stop 3", None, "order 4", also)
    stored = a_recorded(
        about=about, key=key, connect=0.5, status=503, headers=[["A", "b"]], next_at=1.5e9,
        traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01", verdict="dead", reason="exhausted",
    )  # fmt: skip
    await store.store(LOG, [a_record(stored)], before=0, after=1)
    found = await PostgresHistory(pool=pool).get(stored.id)
    assert found is not None
    assert found.trace_id == stored.trace_id
    for name, value in found._replace(traceparent=stored.traceparent)._asdict().items():
        expected = list(also) if name == "also" else getattr(stored, name)
        assert value == (pytest.approx(expected) if isinstance(value, float) else expected), name


async def test_statistics_grow_by_what_is_stored_later(pool: Pool, store: PostgresAttempts) -> None:
    attempts = [a_recorded(n, seconds=n / 1000) for n in range(20)]
    for n in range(4):
        part = attempts[n * 5 : n * 5 + 5]
        await store.store(LOG, [a_record(*part, number=n)], before=n, after=n + 1)
    async with pool.connection() as connection:
        rows = await connection.fetch("select * from attempt_stats where step = 'minute'")
    expected = Sums()
    for attempt in attempts:
        expected.take(attempt)
    assert [sums_of(row) for row in rows] == [expected] * SLOTS


async def test_whoever_lost_the_partition_stores_nothing(
    pool: Pool, store: PostgresAttempts
) -> None:
    assert await store.store(LOG, [a_record(a_recorded())], before=0, after=1) == 1
    zombie = PostgresAttempts(pool=pool)
    late = a_record(a_recorded(1), number=1)
    assert await zombie.store(LOG, [late], before=0, after=2) is None
    assert await count(pool) == 1
    assert await count(pool, "attempt_stats") == 3 * SLOTS


async def test_a_record_that_was_written_twice_is_stored_once(
    pool: Pool, store: PostgresAttempts
) -> None:
    record = a_record(a_recorded(), a_recorded(1))
    assert await store.store(LOG, [record, record], before=0, after=2) == 2
    assert await store.store(LOG, [record], before=2, after=3) == 0
    other_run = a_record(a_recorded(2), run="0000000002")
    assert await store.store(LOG, [other_run], before=3, after=4) == 1
    assert await count(pool) == 3


async def test_a_day_is_a_table_and_is_dropped_whole(pool: Pool, store: PostgresAttempts) -> None:
    records = [a_record(a_recorded(at=MIDNIGHT - DAY / 2), a_recorded(at=MIDNIGHT))]
    await store.store(LOG, records, before=0, after=1)
    assert await count(pool, "attempts_20260316") == 1
    assert await store.expire(before=MIDNIGHT - DAY, now=NOW) == []
    assert await store.expire(before=MIDNIGHT + DAY / 2, now=NOW) == ["attempts_20260316"]
    assert await count(pool) == 1


async def test_a_day_that_somebody_reads_is_dropped_later(
    store: PostgresAttempts, database: str
) -> None:
    async with connected(database) as reader:
        async with reader.transaction():
            await reader.fetch("select * from attempts_20260316")
            assert await store.expire(before=MIDNIGHT, now=NOW) == []
        assert await store.expire(before=MIDNIGHT, now=NOW) == ["attempts_20260316"]


async def test_a_day_that_is_dropped_while_a_list_is_read_ends_it(
    pool: Pool, store: PostgresAttempts
) -> None:
    class Late(PostgresHistory):
        """Whose days are dropped as soon as it knows them."""

        async def _days(self, span: Span) -> Sequence[str]:
            days = await super()._days(span)
            await store.expire(before=MIDNIGHT, now=NOW)
            return days

    attempts = [a_recorded(at=MIDNIGHT - DAY / 2), a_recorded(1, at=MIDNIGHT)]
    await store.store(LOG, [a_record(*attempts)], before=0, after=1)
    asked = HistoryFilter(PROJECT)
    history = PostgresHistory(pool=pool)
    assert len(await history.page(asked, before=None, limit=9)) == 2
    found = await Late(pool=pool).page(asked, before=None, limit=9)
    assert [attempt.id for attempt in found] == [attempts[1].id]
    assert (await Late(pool=pool).count(asked))[0] == 1


@pytest.mark.usefixtures("store")
async def test_days_are_made_once(pool: Pool) -> None:
    await PostgresAttempts(pool=pool).make_days([MIDNIGHT, MIDNIGHT + DAY])
    rows = await pool.fetch("attempt_days")
    assert [row["relname"] for row in rows] == [
        "attempts_20260318",
        "attempts_20260317",
        "attempts_20260316",
    ]


async def test_what_postgres_cannot_keep_is_marked(store: PostgresAttempts) -> None:
    attempt = a_recorded(
        excerpt="a\x00b",
        headers=(("X", "\x00"),),
        about=About("plan.created", external_id="\x00", also=("x:\x00",)),
    )
    assert await store.store(LOG, [a_record(attempt)], before=0, after=1) == 1


@pytest.mark.parametrize(
    "id_", ["", "x", "0" * 24, "f" * 24, "F" * 24, "a" * 10, "a" * 11, "a" * 12, "ü" * 30]
)
def test_an_id_is_the_same_after_it_was_packed(id_: str) -> None:
    assert unpacked(packed(id_)) == id_


def test_a_day_begins_at_midnight_utc() -> None:
    assert datetime(2026, 3, 17, tzinfo=UTC) == MIDNIGHT
