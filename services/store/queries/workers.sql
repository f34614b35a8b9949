-- name: assign_partitions
-- Begin a new epoch of each partition, unless Postgres is older than what it was committed under.
with asked as (
    select * from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
        as t (topic, partition, seen_epoch, seen_writes)
)
insert into partitions as p (topic, partition, epoch, worker)
select topic, partition, case when seen_epoch > 0 then 0 else 1 end, $5 from asked
on conflict (topic, partition) do update set
    epoch = case
        when exists (select from asked a
                     where a.topic = p.topic and a.partition = p.partition
                       and (p.epoch < a.seen_epoch or p.writes < a.seen_writes))
        then p.epoch else p.epoch + 1 end,
    worker = excluded.worker,
    updated_at = now()
returning topic, partition, epoch, committed, writes,
    exists (select from asked a
            where a.topic = p.topic and a.partition = p.partition
              and (p.epoch < a.seen_epoch or p.writes < a.seen_writes)) as went_back;

-- name: wake_in_flight
-- What the owner before had in flight is due now: nobody waits for its answer any more.
update retries r set due_at = now()
from unnest($1::text[], $2::int[]) as t (topic, partition)
where r.topic = t.topic and r.partition = t.partition and r.due_at is null
  and r.waits_for is null;

-- name: key_rows
-- Rows that hold a key of an ordered subscription, or wait behind it.
select r.topic, r.partition, r.subscription_id, r.order_key, r."offset",
    r.waits_for is not distinct from 'turn' as behind
from retries r
join unnest($1::text[], $2::int[]) as t (topic, partition)
    on t.topic = r.topic and t.partition = r.partition
join subscriptions s on s.id = r.subscription_id and s.ordered = 'key'
where r.order_key is not null;

-- name: settled_rows
-- Deliveries that a retry row or a dead letter stands for, from the floor on, or from where a lane
-- or a start of the subscription lies below it; the row of a batch where that ends there, wherever it begins.
with asked as (
    select * from unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, floor)
), behind as (
    select p.topic, p.partition, p.subscription_id, min(p.at) as at
    from (select l.topic, l.partition, l.subscription_id, l.cursor as at from lanes l
          union all
          select s.topic, s.partition, s.subscription_id, s."offset" from starts s) p
    join asked a on a.topic = p.topic and a.partition = p.partition and p.at < a.floor
    group by p.topic, p.partition, p.subscription_id
)
select r.topic, r.partition, r."offset", r.subscription_id, r.event_id, r.members, false as dead
from retries r join asked a on a.topic = r.topic and a.partition = r.partition
left join behind b on b.topic = r.topic and b.partition = r.partition
    and b.subscription_id = r.subscription_id
where coalesce(substring(r.members from '[0-9]+$')::bigint, r."offset") >= coalesce(b.at, a.floor)
union all
select d.topic, d.partition, d."offset", d.subscription_id, d.event_id, d.members, true
from dead_letters d join asked a on a.topic = d.topic and a.partition = d.partition
left join behind b on b.topic = d.topic and b.partition = d.partition
    and b.subscription_id = d.subscription_id
where d."offset" >= coalesce(b.at, a.floor);

-- name: lanes_of
-- The lanes of these partitions.
select l.* from lanes l
join unnest($1::text[], $2::int[]) as t (topic, partition)
    on t.topic = l.topic and t.partition = l.partition;

-- name: starts_of
-- What was promised on these partitions; to these subscriptions where some are named.
select s.topic, s.partition, s.subscription_id, s."offset", s.kind, s.epoch, s.since from starts s
join unnest($1::text[], $2::int[]) as t (topic, partition)
    on t.topic = s.topic and t.partition = s.partition
where $3::text[] is null or s.subscription_id = any ($3);

-- name: keep_lanes
-- Write or overwrite lanes, but of subscriptions that are deleted.
insert into lanes as l (topic, partition, subscription_id, cursor, settled, attach_at, state, reason,
    since, flips, cursor_at, speed, replay_below)
select t.* from unnest(
    $1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[],
    $9::timestamptz[], $10::int[], $11::timestamptz[], $12::float8[], $13::bigint[])
    as t (topic, partition, subscription_id, cursor, settled, attach_at, state, reason, since, flips,
          cursor_at, speed, replay_below)
join subscriptions s on s.id = t.subscription_id and s.deleted_at is null
on conflict (topic, partition, subscription_id) do update set
    cursor = excluded.cursor, settled = excluded.settled, attach_at = excluded.attach_at,
    state = excluded.state, reason = excluded.reason, since = excluded.since,
    flips = excluded.flips, cursor_at = excluded.cursor_at, speed = excluded.speed,
    replay_below = excluded.replay_below, updated_at = now();

-- name: drop_lanes
-- Delete lanes: their subscriptions are fed live again.
delete from lanes l
using unnest($1::text[], $2::int[], $3::text[]) as t (topic, partition, subscription_id)
where l.topic = t.topic and l.partition = t.partition and l.subscription_id = t.subscription_id;

-- name: drop_starts
-- Delete starts: a lane stands for them now, or the feed does. A later promise stays; the one that it
-- replaced is taken over after all.
with taken as (
    select * from unnest($1::text[], $2::int[], $3::text[], $4::bigint[])
        as t (topic, partition, subscription_id, epoch)
), later as (
    update starts s set since = null from taken t
    where s.topic = t.topic and s.partition = t.partition
      and s.subscription_id = t.subscription_id and s.epoch > t.epoch and s.since is not null
)
delete from starts s using taken t
where s.topic = t.topic and s.partition = t.partition and s.subscription_id = t.subscription_id
  and s.epoch <= t.epoch;

-- name: end_gaps
-- These lanes have passed what retention took, up to an offset and its time: their gaps grow no more.
update gaps g set is_open = false
from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::timestamptz[])
    as t (topic, partition, subscription_id, passed, at)
join subscriptions s on s.id = t.subscription_id
where g.topic = t.topic and g.partition = t.partition and g.subscription_id = t.subscription_id
  and g.is_open and g.to_offset < t.passed
returning g.topic, g.partition, g.from_offset, g.to_offset, g.from_time, g.reason,
    t.at as to_time, s.project_id, s.id as subscription_id, s.url;

-- name: extend_gap
-- Keep what retention took from a subscription: one open gap for as long as it goes on.
insert into gaps as g (topic, partition, subscription_id, from_offset, to_offset, reason, recorded_at,
    from_time, is_open)
select $1, $2, $3, $4, $5, 'retention', $6, $7, true
where exists (select from subscriptions s where s.id = $3 and s.deleted_at is null)
on conflict (topic, partition, subscription_id) where is_open do update set
    to_offset = greatest(g.to_offset, excluded.to_offset), recorded_at = excluded.recorded_at
returning told_at is null as untold;

-- name: skip_gap
-- Keep what a person had a subscription leap over, once however often it is tried.
with known as (
    select g.told_at from gaps g
    where g.topic = $1 and g.partition = $2 and g.subscription_id = $3 and g.reason = 'skipped'
      and g.to_offset = $5 and g.from_offset <= $4
), made as (
    insert into gaps (topic, partition, subscription_id, from_offset, to_offset, reason, recorded_at,
        from_time)
    select $1, $2, $3, $4, $5, 'skipped', $6, $7
    where exists (select from subscriptions s where s.id = $3 and s.deleted_at is null)
      and not exists (select from known)
    returning told_at
)
select told_at is null as untold from made union all select told_at is null from known limit 1;

-- name: told_gap
-- The gap was told of.
update gaps set told_at = now()
where topic = $1 and partition = $2 and subscription_id = $3 and reason = $4 and to_offset = $5
  and told_at is null;

-- name: rows_of
-- Rows of these subscriptions on these partitions, but those that a rewind gave up.
select r.topic, r.partition, r."offset", r.subscription_id, r.members
from retries r
join unnest($1::text[], $2::int[]) as t (topic, partition)
    on t.topic = r.topic and t.partition = r.partition
left join starts s on s.topic = r.topic and s.partition = r.partition
    and s.subscription_id = r.subscription_id
where r.subscription_id = any ($3)
  and not (r.skip and coalesce(substring(r.members from '[0-9]+$')::bigint, r."offset")
                      < coalesce(s."offset", 0));

-- name: retry_usage
-- What the rows of each subscription on these partitions take of its budget.
select r.topic, r.partition, r.subscription_id, count(*) as rows, sum(length(r.body)) as bytes
from retries r
join unnest($1::text[], $2::int[]) as t (topic, partition)
    on t.topic = r.topic and t.partition = r.partition
group by r.topic, r.partition, r.subscription_id;

-- name: release_partitions
-- End epochs: the owner is done and writes no more.
update partitions p set epoch = p.epoch + 1, updated_at = now()
from unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, epoch)
where p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch;

-- name: report_partitions
-- Keep where each partition stands, if its epoch does; return those whose epoch is over.
with told as (
    select * from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[],
                         $7::bigint[])
        as t (topic, partition, epoch, committed, read_offset, open_offsets, writes)
), kept as (
    update partitions p set
        committed = coalesce(t.committed, p.committed),
        read_offset = t.read_offset,
        open_offsets = t.open_offsets,
        updated_at = now()
    from told t
    where p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch
        and (p.committed, p.read_offset, p.open_offsets) is distinct from
            (coalesce(t.committed, p.committed), t.read_offset, t.open_offsets)
)
select t.topic, t.partition
from told t
join partitions p on p.topic = t.topic and p.partition = t.partition
where p.epoch <> t.epoch or p.writes < t.writes;

-- name: record_gap
-- Keep that a range of a whole partition was not delivered, and why.
insert into gaps (topic, partition, from_offset, to_offset, reason, recorded_at)
values ($1, $2, $3, $4, $5, $6);

-- name: count_writes
-- Begin a write: which of these epochs still stand, in a store that has all writes that are known. Each
-- counts as one more. Locked until the transaction ends, in one order, so that none ends meanwhile.
with standing as (
    select p.topic, p.partition, p.epoch
    from partitions p
    join unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])
            as t (topic, partition, epoch, writes)
        on p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch
    where p.writes >= t.writes
    order by p.topic, p.partition
    for no key update of p
)
update partitions p set writes = p.writes + 1
from standing s
where p.topic = s.topic and p.partition = s.partition
returning p.topic, p.partition, p.epoch, p.writes;

-- name: move_lanes_back
-- Lanes above an offset go on there: a person moved the group back, or the log was made anew. Those of
-- subscriptions that began later go back to where they began.
with begins as (
    select l.subscription_id, greatest($4, b."offset") as "offset"
    from lanes l
    left join unnest($5::text[], $6::bigint[]) as b (subscription_id, "offset") using (subscription_id)
    where l.topic = $1 and l.partition = $2
)
update lanes l set cursor = least(l.cursor, b."offset"), settled = '', attach_at = null, state = 'detached',
    updated_at = now()
from partitions p, begins b
where p.topic = $1 and p.partition = $2 and p.epoch = $3
  and l.topic = p.topic and l.partition = p.partition and l.subscription_id = b.subscription_id
  and greatest(l.cursor, l.attach_at) > b."offset";

-- name: park_rows
-- Write or overwrite retry rows, but of subscriptions that are deleted.
insert into retries (
    subscription_id, topic, partition, "offset", event_id, project_id, type, content_type, body,
    order_key, timestamp_ms, traceparent, replay, members, number, due_at, outcome, status, about,
    waits_for)
select t.* from unnest(
    $1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bytea[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::int[],
    $16::timestamptz[], $17::text[], $18::int[], $19::text[], $20::text[])
    as t (subscription_id, topic, partition, "offset", event_id, project_id, type, content_type,
          body, order_key, timestamp_ms, traceparent, replay, members, number, due_at, outcome, status,
          about, waits_for)
join subscriptions s on s.id = t.subscription_id and s.deleted_at is null
on conflict (topic, partition, "offset", subscription_id, event_id) do update set
    number = excluded.number, outcome = excluded.outcome, status = excluded.status,
    -- Given up by a person while its request was in flight: its owner is to bury it now.
    due_at = case when retries.skip then now() else excluded.due_at end,
    waits_for = case when retries.skip then null else excluded.waits_for end;

-- name: remove_rows
-- Delete retry rows: acknowledged, or given up.
delete from retries r
using unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[])
    as t (subscription_id, topic, partition, "offset", event_id)
where r.topic = t.topic and r.partition = t.partition and r."offset" = t."offset"
  and r.subscription_id = t.subscription_id and r.event_id = t.event_id;

-- name: bury_rows
-- Write dead letters, but of subscriptions that are deleted.
insert into dead_letters (
    subscription_id, topic, partition, "offset", event_id, project_id, type, content_type, body,
    order_key, timestamp_ms, traceparent, replay, members, attempts, reason, outcome, status, error,
    response, about, resend)
select t.*, r.resend from unnest(
    $1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
    $9::bytea[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::int[],
    $16::text[], $17::text[], $18::int[], $19::text[], $20::bytea[], $21::text[])
    as t (subscription_id, topic, partition, "offset", event_id, project_id, type, content_type,
          body, order_key, timestamp_ms, traceparent, replay, members, attempts, reason, outcome,
          status, error, response, about)
join subscriptions s on s.id = t.subscription_id and s.deleted_at is null
left join retries r on r.topic = t.topic and r.partition = t.partition and r."offset" = t."offset"
    and r.subscription_id = t.subscription_id and r.event_id = t.event_id
on conflict (topic, partition, "offset", subscription_id, event_id) do update set
    attempts = excluded.attempts, reason = excluded.reason, outcome = excluded.outcome,
    status = excluded.status, error = excluded.error, response = excluded.response,
    dead_at = now(), id = excluded.id, resend = excluded.resend;

-- name: due_rows
-- Rows that are due, oldest first; not those in the process already, nor of subscriptions that are
-- busy there, paused, disabled or deleted. Whose epoch is over has none: its heir sends them.
select r.*, s.ordered = 'key' as is_ordered
from retries r
join unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, epoch)
    on t.topic = r.topic and t.partition = r.partition
join partitions p on p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch
join subscriptions s on s.id = r.subscription_id and s.status = 'active' and s.deleted_at is null
where r.due_at <= $4
  and not r.subscription_id = any ($6::text[])
  and not exists (
    select from unnest($7::text[], $8::int[], $9::bigint[], $10::text[])
        as held (topic, partition, "offset", subscription_id)
    where held.topic = r.topic and held.partition = r.partition
      and held."offset" = r."offset" and held.subscription_id = r.subscription_id)
order by r.due_at, r."offset"
limit $5;

-- name: turn_rows
-- The first rows of these keys that wait for their turn alone, by offset.
select r.*, s.ordered = 'key' as is_ordered
from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[])
    as t (subscription_id, topic, partition, epoch, order_key)
join partitions p on p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch
join subscriptions s on s.id = t.subscription_id and s.status = 'active' and s.deleted_at is null
cross join lateral (
    select * from retries
    where subscription_id = t.subscription_id and topic = t.topic and partition = t.partition
      and order_key = t.order_key and waits_for = 'turn'
    order by "offset" limit $6
) r
order by r."offset";

-- name: all_subscriptions
-- Subscriptions that aren't deleted, with what workers need: so many after an id.
select s.id, s.project_id, s.url, s.types, s.headers, s.headers_key_id, s.profile, s.expand,
    s.max_in_flight, s.timeout_seconds, s.retry_schedule, s.rate_limit, s.ordered, s.order_by,
    s.on_exhausted, s.delivery, s.filter, s.max_age_seconds, s.status, s.created_at,
    s.failures_reset_at, s.version, s.epoch, s.start_from, s.client_certificate,
    s.client_certificate_key_id
from subscriptions s
where s.deleted_at is null and s.id > $1
order by s.id
limit $2;

-- name: some_subscriptions
-- Those of these ids that are not deleted.
select s.id, s.project_id, s.url, s.types, s.headers, s.headers_key_id, s.profile, s.expand,
    s.max_in_flight, s.timeout_seconds, s.retry_schedule, s.rate_limit, s.ordered, s.order_by,
    s.on_exhausted, s.delivery, s.filter, s.max_age_seconds, s.status, s.created_at,
    s.failures_reset_at, s.version, s.epoch, s.start_from, s.client_certificate,
    s.client_certificate_key_id
from subscriptions s
where s.deleted_at is null and s.id = any ($1::text[])
order by s.id;

-- name: recent_subscriptions
-- Those that were made, changed or deleted within the last seconds.
select id from subscriptions where updated_at >= now() - make_interval(secs => $1);

-- name: signing_secrets
-- Secrets of these subscriptions that still sign, newest first.
select subscription_id, id, scheme, key_id, ciphertext, expires_at
from secrets
where subscription_id = any ($1::text[])
  and (expires_at is null or expires_at > now())
order by subscription_id, created_at desc, id desc;

-- name: disable_subscription
-- Switch an active subscription off, and say why; whoever switches it on again begins anew.
with disabled as (
    update subscriptions
    set status = 'disabled', status_reason = $2, status_at = $3, updated_at = $3,
        version = version + 1
    where id = $1 and status = 'active' and deleted_at is null
    returning id, project_id, url),
forgotten as (
    delete from trouble t using disabled d where t.subscription_id = d.id
    returning greatest(t.since, t.succeeded_at) as since),
told as (
    insert into audit (id, at, actor, project_id, action, object_type, object_id, before, after)
    select lpad(to_hex((extract(epoch from $3::timestamptz) * 16777216)::bigint), 14, '0')
            || left(replace(gen_random_uuid()::text, '-', ''), 10),
        $3, 'system', d.project_id, 'disable', 'subscription', d.id,
        jsonb_build_object('status', 'active'),
        jsonb_build_object('status', 'disabled', 'status_reason', $2::text)
    from disabled d)
select d.project_id, d.id as subscription_id, d.url, (select since from forgotten),
    greatest(1, coalesce((select sum(h.failure_count) from health h where h.subscription_id = d.id),
                         0))::int as failure_count
from disabled d;

-- name: keep_operations
-- Have these told.
insert into operations (type, project_id, subscription_id, data)
select t.type, t.project_id, t.subscription_id, t.data::jsonb
from unnest($1::text[], $2::text[], $3::text[], $4::text[])
    with ordinality as t (type, project_id, subscription_id, data, n)
order by t.n;

-- name: waiting_operations
-- What is to be told, in order.
select number, type, project_id, subscription_id, data, created_at from operations
order by number limit $1;

-- name: forget_operations
-- Kafka has these.
delete from operations where number = any ($1::bigint[]);

-- name: project_of
-- To whom a subscription belongs.
select project_id from subscriptions where id = $1 and deleted_at is null;

-- name: report_worker
-- A worker's sign of life.
insert into workers (worker, partitions, updated_at) values ($1, $2, now())
on conflict (worker) do update set partitions = excluded.partitions, updated_at = now();

-- name: report_health
-- Failures in a row, as one worker counts them.
insert into health (worker, subscription_id, failure_count, outcome, status, since, updated_at)
select $1, t.*, now()
from unnest($2::text[], $3::int[], $4::text[], $5::int[], $6::timestamptz[])
    as t (subscription_id, failure_count, outcome, status, since)
on conflict (subscription_id, worker) do update set
    failure_count = excluded.failure_count, outcome = excluded.outcome, status = excluded.status,
    since = excluded.since, updated_at = now();

-- name: forget_health
-- A success ends a row of failures, whichever worker counted it.
delete from health where subscription_id = any ($1::text[]);

-- name: lanes_below
-- How many lanes of these partitions stand below these offsets.
select l.topic, l.partition, count(*) as lanes from lanes l
join unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, "offset")
    on t.topic = l.topic and t.partition = l.partition and l.cursor < t."offset"
group by l.topic, l.partition;

-- name: leap_subscriptions
-- Subscriptions that have such a lane begin anew.
update subscriptions s set epoch = s.epoch + 1, version = s.version + 1
where s.deleted_at is null and s.id in (
    select l.subscription_id from lanes l
    join unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, "offset")
        on t.topic = l.topic and t.partition = l.partition and l.cursor < t."offset");

-- name: leap_lanes
-- Their lanes go on at these offsets; whoever takes the partitions keeps and tells what that leaves out.
insert into starts as s (topic, partition, subscription_id, "offset", kind, epoch)
select l.topic, l.partition, l.subscription_id, t."offset", 'rewind', of.epoch
from lanes l
join unnest($1::text[], $2::int[], $3::bigint[]) as t (topic, partition, "offset")
    on t.topic = l.topic and t.partition = l.partition and l.cursor < t."offset"
join subscriptions of on of.id = l.subscription_id and of.deleted_at is null
on conflict (topic, partition, subscription_id) do update set
    "offset" = excluded."offset", kind = excluded.kind, epoch = excluded.epoch
returning s.topic, s.partition, s.subscription_id, s."offset", s.kind;
