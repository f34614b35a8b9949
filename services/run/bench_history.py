"""`bench history`: what the history of attempts costs, and how fast it is searched.

Each against its own measure: deliveries per CPU second of a dispatcher with history on, beside the same
one with history off, in turns; attempts per second of one recorder, a process between Kafka and Postgres
as they are in production; what attempts weigh with all indexes; the newest 50 of many. The many are
stored as the recorder does, without the log: `per_second` is how fast that went.
"""

import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from services.dev.postgres import EmbeddedPostgres
from services.dev.process import ServerError
from services.kernel.about import About
from services.kernel.attempt import Acknowledged, Attempt, Outcome
from services.kernel.clock import SystemClock
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.history import HistoryFilter
from services.kernel.ids import SubscriptionId
from services.kernel.rollup import Step
from services.record.codec import Row, decode, encode, row
from services.run.probes import postgres_answers
from services.run.stack import Stack
from services.store.attempts import PostgresAttempts
from services.store.history import PostgresHistory
from services.store.migrate import migrate
from services.store.pool import Pool

LOG = Partition("webhooks.attempts", 0)
PROJECT = "5e208446c97efa37d4830b01"
SUBSCRIPTIONS, VEHICLES, PLANS, ROUTES = 200, 2_000, 500, 4_000
IN_RECORD = 500
RECORDS = 32
"""In one transaction, as the recorder reads them."""
DAYS = 30
A_DAY = 100_000
"""Attempts a day at least: with fewer, what is measured is how empty the pages of 30 tables are."""
A_SECOND = 5_000
"""Attempts, as long as a transaction's worth of them lasts: as a dispatcher under load makes them."""
LOGS = 4
"""Partitions of the log, of one worker each."""
STORED = "select coalesce(sum(next_offset), 0) from attempt_offsets"
POLL_SECONDS = 0.05
LOOKS = 20
LIMIT = 50
TYPES = ("stop.report.completed", "stop.report.failed", "route.started", "vehicle.position")


class Stored(NamedTuple):
    """What storing came to."""

    attempts: int
    per_second: float
    bytes_each: float
    newest_ms: float
    """The newest 50 of a subscription, as a median."""
    vehicle_ms: float
    """The newest 50 of a vehicle."""
    stats_ms: float
    """30 days of a subscription by hour."""


async def stored(folder: Path, *, attempts: int, say: Callable[[str], None]) -> Stored:
    """Store *attempts* over up to 30 days as the recorder does; look some of them up."""
    postgres = EmbeddedPostgres(folder / "history", probe=postgres_answers)
    await postgres.start()
    try:
        await migrate(postgres.dsn())
        pool = Pool(dsn=postgres.dsn(), size=4, seconds=60.0)
        await pool.open()
        try:
            return await _measured(pool, attempts, say)
        finally:
            await pool.close()
    finally:
        await postgres.stop()


async def recorded(stack: Stack, *, attempts: int, say: Callable[[str], None]) -> float:
    """Return attempts per second that one recorder stores, which finds *attempts* in the log.

    From its first quarter to the end: what it takes to start counts for nothing.
    """
    count = 0
    for some in _batches(attempts, until=SystemClock().now()):
        records = [(b"%d" % (count // RECORDS % LOGS), value) for value in some]
        await asyncio.gather(
            *(stack.producer.produce(LOG.topic, key=k, value=v) for k, v in records)
        )
        count += len(some)
    say(f"{count * IN_RECORD:,} attempts in the log; a recorder begins")
    pool = Pool(dsn=stack.postgres.dsn(), size=1, seconds=60.0)
    child = await stack.start("record", log="record")
    began: tuple[int, float] | None = None
    try:
        while True:
            async with pool.connection() as connection:
                done = int(await connection.fetchval(STORED))
            now = time.perf_counter()
            if began is None and done >= count / 4:
                began = done, now
            if done >= count and began is not None:
                return (done - began[0]) * IN_RECORD / (now - began[1])
            if not child.alive:
                raise ServerError(f"the recorder has ended: {child.last_words()}")
            await asyncio.sleep(POLL_SECONDS)
    finally:
        await child.stop(seconds=15)
        await pool.close()


async def _measured(pool: Pool, attempts: int, say: Callable[[str], None]) -> Stored:
    now = SystemClock().now()
    store = PostgresAttempts(pool=pool)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    await store.make_days([midnight - timedelta(days=n) for n in range(-1, DAYS + 1)])
    await store.begin(LOG, before=None, offset=0)
    seconds, offset = 0.0, 0
    for some in _batches(attempts, until=now):
        began = time.perf_counter()
        records = [decode(value) for value in some]
        await store.store(LOG, records, before=offset, after=offset + len(some))
        seconds += time.perf_counter() - began
        offset += len(some)
        if offset % (RECORDS * 20) == 0:
            say(f"{offset * IN_RECORD:,} of {attempts:,} attempts stored")
    async with pool.connection() as connection:
        await connection.execute("analyze")
        size = await connection.fetchval(
            "select sum(pg_total_relation_size(inhrelid)) from pg_inherits"
            " where inhparent = 'attempts'::regclass"
        )
    history = PostgresHistory(pool=pool)
    one = [HistoryFilter(PROJECT, _subscription(n)) for n in range(LOOKS)]
    vehicles = [HistoryFilter(PROJECT, vehicle_id=_id("c", n)) for n in range(LOOKS)]
    count = offset * IN_RECORD
    return Stored(
        count,
        count / seconds,
        float(size) / count,
        await _median(one, lambda asked: history.page(asked, before=None, limit=LIMIT)),
        await _median(vehicles, lambda asked: history.page(asked, before=None, limit=LIMIT)),
        await _median(one, lambda asked: _points(history, asked, now)),
    )


async def _points(history: PostgresHistory, asked: HistoryFilter, now: datetime) -> object:
    return await history.points(
        project_id=asked.project_id,
        subscription_id=asked.subscription_id,
        among=None,
        type_=None,
        step=Step.HOUR,
        since=now - timedelta(days=DAYS),
        until=now,
    )


async def _median(
    questions: Sequence[HistoryFilter], ask: Callable[[HistoryFilter], Awaitable[object]]
) -> float:
    found = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def _batches(attempts: int, *, until: datetime) -> Iterator[Sequence[bytes]]:
    """Yield values of records, as many as the recorder takes at once."""
    chance = random.Random(7)  # noqa: S311 - the same attempts in each run
    records = -(-attempts // (IN_RECORD * RECORDS)) * RECORDS
    last = until.timestamp() - RECORDS * IN_RECORD / A_SECOND
    step = _days(attempts) * 86_400 / max(1, records // RECORDS)
    first = last - step * (records // RECORDS - 1)
    run = os.urandom(5).hex()
    some: list[bytes] = []
    for number in range(records):
        base = number * IN_RECORD
        batch, within = divmod(number, RECORDS)
        begins = first + batch * step + within * IN_RECORD / A_SECOND
        rows = [_row(chance, base + n, begins + n / A_SECOND) for n in range(IN_RECORD)]
        some.append(encode(rows, run=run, number=number, first=base))
        if len(some) == RECORDS:
            yield some
            some = []


def _days(attempts: int) -> int:
    """Return over how many days they are spread."""
    return max(1, min(DAYS, attempts // A_DAY))


def _row(chance: random.Random, n: int, at: float) -> Row:
    """Return an acknowledged attempt; three of four know their stop, external id and plan."""
    whole = n % 4 != 0
    about = About(
        TYPES[n % len(TYPES)],
        plan_id=_id("a", chance.randrange(PLANS)),
        route_id=_id("b", chance.randrange(ROUTES)),
        stop_id=_id("d", n // 3) if whole else None,
        vehicle_id=_id("c", chance.randrange(VEHICLES)),
        external_id=f"ORD-2022-{n // 3}" if whole else None,
    )
    delivery = Delivery(
        position=Position(Partition("planner.events", n % 8), n),
        epoch=1,
        subscription_id=_subscription(n % SUBSCRIPTIONS),
        event_id=_id("e", n),
        type=about.type,
        body=b"x" * 1_000,
        content_type="application/json",
        key=about.route_id,
        project_id=PROJECT,
        timestamp_ms=int(at * 1000) - 30,
        about=about,
    )
    attempt = Attempt(
        outcome=Outcome.OK,
        started_at=at,
        seconds=chance.uniform(0.01, 0.5),
        waited=0.001,
        first_byte=chance.uniform(0.01, 0.4),
        status=200,
        address="203.0.113.7:443",
        traceparent=f"00-{n:032x}-{n:016x}-01",
    )
    return row(delivery, attempt, Acknowledged())


def _id(letter: str, n: int) -> str:
    return f"{letter}{n:023x}"


def _subscription(n: int) -> SubscriptionId:
    return SubscriptionId(_id("f", n))
