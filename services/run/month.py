"""A month of history, for `bench pages`: made by Postgres itself, in minutes rather than an hour.

Rows are what the recorder would have stored, in the order in which it would have: 16,000 at a time, by
subscription within them. Half of the traffic is of one project with a thousand webhooks, the rest of ten;
twenty webhooks get an attempt a day at most. Statistics are added up from the attempts.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from services.kernel.clock import SystemClock
from services.kernel.event import Position
from services.kernel.ids import half
from services.kernel.rollup import ALL
from services.run import parts
from services.settings import Settings
from services.store.attempt_rows import FRACTIONS, event_number, first_at, packed
from services.store.attempts import DAY, day_table
from services.store.pool import Pool

DAYS = 30
SUBSCRIPTIONS, RARE, PROJECTS = 2_000, 20, 11
PLANS, ROUTES, VEHICLES = 5_000, 40_000, 20_000
TYPES = ("stop.report.completed", "stop.report.canceled", "route.started", "plan.optimized")
WORDS = (
    ALL, *TYPES, "live", "retry", "ok", "http", "acknowledged", "dead", "exhausted",
    "planner.events", "203.0.113.7:443",
)  # fmt: skip
LOGS = 2
"""Partitions of the log of attempts that are written to, each with sums of its own: one a dispatcher."""
MINUTES = timedelta(days=3)
SECRET_BYTES = 32
Connection: TypeAlias = Any
"""The driver has its door elsewhere."""


def project(n: int) -> str:
    """Return the id of a project; the first has half of everything."""
    return f"{n:0>24x}".replace("0", "b", 22)


def subscription(n: int) -> str:
    """Return the id of a subscription; even ones are of the first project."""
    return _id("f", n)


def vehicle(n: int) -> str:
    """Return the id of a vehicle."""
    return _id("c", n)


class Sample(NamedTuple):
    """An event that is in the log too: its delivery can be shown whole."""

    event_id: str
    position: Position


class Month:
    """Fills an empty database."""

    def __init__(self, pool: Pool, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._pool = pool
        self._cipher = parts.cipher(settings)
        self._say = say
        self._now = SystemClock().now()

    async def fill(self, attempts: int) -> None:
        """Make everything, some minutes long."""
        async with self._pool.connection() as connection:
            for setting in ("synchronous_commit = off", "work_mem = '256MB'"):
                await connection.execute(f"set {setting}")
            await connection.execute("set maintenance_work_mem = '512MB'")
            await self._subscriptions(connection)
            for day, first, last in self._days(attempts):
                await self._day(connection, day, first, last, self._step(attempts))
                self._say(f"{last:,} of {attempts:,} attempts stored")
            for statement in (DEAD, WAITING, AUDIT, RESENDS, SEEN, MATCHED, MISSED):
                await connection.execute(statement)
            await connection.execute("vacuum analyze")

    async def put(self, samples: Sequence[Sample]) -> None:
        """Let the newest attempts of the first project's first webhook be of *samples*."""
        async with self._pool.connection() as connection:
            newest = await connection.fetch(NEWEST, subscription(0), len(samples))
            for row, sample in zip(newest, samples, strict=False):
                partition, offset = sample.position
                number, id_ = event_number(half(sample.event_id)), packed(sample.event_id)
                await connection.execute(
                    SAMPLED, row["at"], row["tail"], number, id_, partition.number, offset
                )

    def _step(self, attempts: int) -> int:
        """Return from one start to the next, as `at` counts."""
        return DAYS * 86_400 * FRACTIONS // attempts

    def _days(self, attempts: int) -> Iterator[tuple[datetime, int, int]]:
        """Yield each day with the first of its attempts and the first of the next day's."""
        begin, step = first_at(self._now - DAYS * DAY), self._step(attempts)
        day = (self._now - DAYS * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
        first = 0
        while first < attempts:
            last = min(attempts, -(-(first_at(day + DAY) - begin) // step))
            yield day, first, last
            day, first = day + DAY, last

    async def _subscriptions(self, connection: Connection) -> None:
        """Make projects, subscriptions with their secrets, and the numbers that attempts have of them."""
        projects = [project(n) for n in range(PROJECTS)]
        await connection.execute(MAKE_PROJECTS, projects)
        ids = [subscription(n) for n in range(SUBSCRIPTIONS)]
        owners = [projects[0 if n % 2 == 0 else 1 + n // 2 % 10] for n in range(SUBSCRIPTIONS)]
        await connection.execute(MAKE_SUBSCRIPTIONS, ids, owners, TYPES)
        secrets = []
        for id_ in ids:
            sealed = self._cipher.encrypt(os.urandom(SECRET_BYTES), context=id_[::-1])
            row = (id_[::-1], id_, "v1", sealed.key_id, sealed.ciphertext, None, self._now, None)
            secrets.append(row)
        await connection.copy_records_to_table("secrets", records=secrets)
        everybody = [ALL] * PROJECTS
        await connection.execute(
            MAKE_SOURCES,
            owners + projects,
            ids + everybody,
            [half(each) for each in ids + everybody],
        )
        await connection.execute(MAKE_WORDS, WORDS)
        await connection.execute(NUMBERS)

    async def _day(
        self, connection: Connection, day: datetime, first: int, last: int, step: int
    ) -> None:
        table = day_table(day)
        begin = first_at(self._now - DAYS * DAY)
        await connection.execute(f"create table {table} (like attempts)")
        await connection.execute(
            ATTEMPTS.replace("attempts_of_day", table), first, last - 1, begin, step
        )
        await connection.execute(
            f"alter table attempts attach partition {table} for values"
            f" from ({first_at(day)}) to ({first_at(day + DAY)})"
        )
        steps = "('hour', 3600), ('day', 86400)"
        if day >= self._now - MINUTES - DAY:
            steps += ", ('minute', 60)"
        sql = STATS.replace("attempts_of_day", table).replace("steps_of_day", steps)
        await connection.execute(sql)


def _id(letter: str, n: int) -> str:
    return f"{letter}{n:023x}"


MAKE_PROJECTS = """
insert into projects (id, name, created_at, updated_at, max_subscriptions)
select id, 'Carrier ' || row_number() over (), now(), now(), 1000000 from unnest($1::text[]) as p (id)
"""
MAKE_SUBSCRIPTIONS = """
insert into subscriptions (id, project_id, url, types, description, status_at, created_by, created_at,
    updated_at)
select id, owner, 'http://127.0.0.1:9/' || n, $3::text[], 'Receiver ' || n, now(), 'admin', now(), now()
from unnest($1::text[], $2::text[]) with ordinality as s (id, owner, n)
"""
MAKE_SOURCES = """
insert into attempt_sources (project_id, subscription_id, half)
select * from unnest($1::text[], $2::text[], $3::bytea[])
"""
MAKE_WORDS = "insert into attempt_words (word) select unnest($1::text[])"
NUMBERS = f"""
create temp table word as select word as name, id from attempt_words;
create temp table source as
select ('x' || right(s.subscription_id, 8))::bit(32)::int as n, s.id, every.id as everyone
from attempt_sources s
join attempt_sources every on every.project_id = s.project_id and every.subscription_id = '{ALL}'
where s.subscription_id <> '{ALL}';
create function pg_temp.number_of(text) returns integer language sql stable as
    'select id from word where name = $1';
create function pg_temp.little_endian(bigint) returns bytea language sql immutable as
    'select substring(int4send($1::int) from 4 for 1) || substring(int4send($1::int) from 3 for 1)
        || ''\\x0000''::bytea';
create function pg_temp.id_of(text, bigint) returns bytea language sql immutable as
    'select decode($1 || lpad(to_hex($2), 23, ''0''), ''hex'')';
analyze source;
"""  # noqa: S608
ATTEMPTS = f"""
insert into attempts_of_day (source, at, tail, event, produced_ms, "offset", next_at, type, trigger,
    outcome, verdict, reason, topic, address, partition, number, size, queue_ms, first_byte_ms, total_ms,
    status, event_id, key, plan_id, route_id, stop_id, vehicle_id, trace_id, external_id, excerpt)
select s.id, at, decode(lpad(to_hex(m.n), 10, '0'), 'hex'),
    hashint8extended(m.n / 2, 3) & ((1::bigint << 48) - 1),
    at / 16778 - 30, m.n, case when failed < 20 then to_timestamp(at / {FRACTIONS}) + interval '5 s' end,
    (array[t1, t2, t3, t4])[1 + a % 2 + 2 * (b % 2)],
    live, case when failed <= 20 then http else ok end,
    case when failed < 20 then retry when failed = 20 then dead else acknowledged end,
    case when failed = 20 then exhausted end,
    topic, address, m.n % 8, 1, 1000 + b % 500, 0.5, 10 + b % 400, 12 + b % 400,
    case when failed < 20 then 503 when failed = 20 then 401 else 200 end,
    pg_temp.id_of('e', m.n), '\\x02', pg_temp.id_of('a', b % {PLANS}), pg_temp.id_of('b', b % {ROUTES}),
    case when m.n % 4 <> 0 then pg_temp.id_of('d', m.n / 3) end, pg_temp.id_of('c', b % {VEHICLES}),
    decode(md5(m.n::text), 'hex'), case when m.n % 4 <> 0 then 'ORD-2022-' || m.n / 3 end,
    case when failed <= 20 then '{{"error": "upstream is away"}}' end
from (
    select n, $3::bigint + n * $4::bigint as at,
        case when n % 10007 = 0 then {SUBSCRIPTIONS - RARE} + n / 10007 % {RARE}
            else (hashint8extended(n, 1) & 2147483647) % {SUBSCRIPTIONS - RARE} end as a,
        hashint8extended(n, 2) & 2147483647 as b, hashint8extended(n, 4) & 1023 as failed
    from generate_series($1::bigint, $2::bigint) as n) m
join source s on s.n = m.a
cross join (
    select pg_temp.number_of('{TYPES[0]}') as t1, pg_temp.number_of('{TYPES[1]}') as t2,
        pg_temp.number_of('{TYPES[2]}') as t3, pg_temp.number_of('{TYPES[3]}') as t4,
        pg_temp.number_of('live') as live, pg_temp.number_of('http') as http,
        pg_temp.number_of('ok') as ok,
        pg_temp.number_of('acknowledged') as acknowledged, pg_temp.number_of('dead') as dead,
        pg_temp.number_of('retry') as retry, pg_temp.number_of('exhausted') as exhausted,
        pg_temp.number_of('planner.events') as topic, pg_temp.number_of('203.0.113.7:443') as address) w
order by m.n / 16000, s.id, at
"""  # noqa: S608
STATS = f"""
insert into attempt_stats
select step, source, moment, type, 'webhooks.attempts', log, sum(delivered), sum(count) - sum(delivered),
    sum(retried), sum(dead), sum(bytes), string_agg(pg_temp.little_endian(bucket)
    || pg_temp.little_endian(count), '' order by bucket), string_agg(pg_temp.little_endian(bucket)
    || pg_temp.little_endian(count), '' order by bucket)
from (
    select steps.step, sources.source, types.type, a.partition % {LOGS} as log,
        to_timestamp(at / {FRACTIONS} / steps.seconds * steps.seconds) as moment,
        1 + floor(ln(first_byte_ms / 0.01) / ln(1.1))::int as bucket, count(*) as count,
        count(*) filter (where status = 200) as delivered,
        count(*) filter (where status = 503) as retried,
        count(*) filter (where status = 401) as dead, sum(size) as bytes
    from attempts_of_day a
    join source s on s.id = a.source
    cross join (values steps_of_day) as steps (step, seconds)
    cross join lateral (values (s.id), (s.everyone)) as sources (source)
    cross join lateral (values (a.type), ((select pg_temp.number_of('{ALL}')))) as types (type)
    group by 1, 2, 3, 4, 5, 6) buckets
group by step, source, moment, type, log
"""  # noqa: S608
DEAD = f"""
insert into dead_letters (subscription_id, topic, partition, "offset", event_id, project_id, type,
    content_type, body, timestamp_ms, attempts, reason, outcome, status, dead_at)
select s.id, 'planner.events', n % 8, n, 'e' || lpad(to_hex(n), 23, '0'), s.project_id, '{TYPES[0]}',
    'application/json', convert_to(repeat('x', 1000), 'utf8'), 0, 10, 'exhausted', 'http',
    (array[401, 404, 500])[1 + n % 3], now() - n * interval '60 s'
from generate_series(1, 20000) as n
join subscriptions s on s.id = 'f' || lpad(to_hex(n % 200), 23, '0')
"""  # noqa: S608
WAITING = f"""
insert into retries (subscription_id, topic, partition, "offset", event_id, project_id, type,
    content_type, body, timestamp_ms, number, due_at)
select s.id, 'planner.events', n % 8, n, 'e' || lpad(to_hex(n), 23, '0'), s.project_id, '{TYPES[1]}',
    'application/json', convert_to(repeat('x', 1000), 'utf8'), 0, 3, now() + interval '2 h'
from generate_series(1, 10000) as n
join subscriptions s on s.id = 'f' || lpad(to_hex(n % 100), 23, '0')
"""  # noqa: S608
AUDIT = """
insert into audit (id, at, actor, project_id, action, object_type, object_id, before, after)
select lpad(to_hex(n), 24, '0'), now() - (20000 - n) * interval '60 s', 'admin', s.project_id, 'update',
    'subscription', s.id, '{"rate_limit": null}', '{"rate_limit": 10}'
from generate_series(1, 20000) as n
join subscriptions s on s.id = 'f' || lpad(to_hex(n % 2000), 23, '0')
"""
RESENDS = """
insert into resends (id, project_id, asked, state, total, moved, created_at, started_at, finished_at)
select lpad(to_hex(n), 24, '0'), s.project_id,
    jsonb_build_object('project_id', s.project_id, 'subscription_id', s.id, 'outcome', null,
        'status', null, 'status_class', null, 'type', null, 'since', null, 'until', null, 'id', null),
    'done', 100, 100, now(), now(), now()
from generate_series(1, 1000) as n
join subscriptions s on s.id = 'f' || lpad(to_hex(n % 2000), 23, '0')
"""
SLOTS = (
    "generate_series(date_trunc('hour', now()) - interval '1 day', now(), interval '5 min') as slot"
)
SEEN = f"""
insert into seen_counts (project_id, type, slot, seen, bytes, peak)
select p.id, t.type, slot, 1000, 1000000, 10
from projects p, unnest(array['{"', '".join(TYPES)}']) as t (type), {SLOTS}
"""  # noqa: S608
MATCHED = f"""
insert into match_counts (subscription_id, slot, matched)
select s.id, slot, 7 from subscriptions s, {SLOTS}
"""  # noqa: S608
MISSED = f"""
insert into miss_counts (subscription_id, slot, pointer, missed)
select s.id, slot, pointer, 3 from subscriptions s, unnest(array['', '/filter/data/status']) as pointer,
    {SLOTS} where extract(minute from slot) = 0
"""  # noqa: S608
NEWEST = """
select a.at, a.tail from attempts a join attempt_sources s on s.id = a.source
where s.subscription_id = $1 order by a.at desc limit $2
"""
SAMPLED = """
update attempts set event = $3, event_id = $4, partition = $5, "offset" = $6 where at = $1 and tail = $2
"""
