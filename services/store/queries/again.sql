-- name: add_audit_entries
-- Keep who changed what.
insert into audit (id, at, actor, address, project_id, action, object_type, object_id, before, after)
select * from unnest(
    $1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::jsonb[], $10::jsonb[]);

-- name: page_audit
-- Who changed what, newest first, below an id.
select id, at, actor, address, project_id, action, object_type, object_id, before, after
from audit
where ($1::text is null or project_id = $1)
  and ($2::text is null or actor = $2)
  and ($3::text is null or action = $3)
  and ($4::text is null or object_type = $4)
  and ($5::text is null or object_id = $5)
  and ($6::timestamptz is null or at >= $6)
  and ($7::timestamptz is null or at < $7)
  and ($8::text is null or id < $8)
order by id desc limit $9;

-- name: expire_audit
-- Forget what was changed too long ago to be asked about.
delete from audit where at < $1;

-- name: note_trouble
-- These failed; when first, and when last as far as it counts towards switching off.
insert into trouble as t (subscription_id, since, failed_at)
select n.* from unnest($1::text[], $2::timestamptz[], $3::timestamptz[])
    as n (subscription_id, since, failed_at)
join subscriptions s on s.id = n.subscription_id and s.deleted_at is null and s.status <> 'disabled'
on conflict (subscription_id) do update set failed_at = greatest(t.failed_at, excluded.failed_at);

-- name: note_success
-- These took something after all.
update trouble t set succeeded_at = greatest(t.succeeded_at, n.at)
from unnest($1::text[], $2::timestamptz[]) as n (subscription_id, at)
where t.subscription_id = n.subscription_id;

-- name: begin_failing
-- Which of these were not said to be failing yet; they are from now on.
with begun as (
    update trouble t set failing_at = $3, reason = n.reason
    from unnest($1::text[], $2::text[]) as n (subscription_id, reason)
    where t.subscription_id = n.subscription_id and t.failing_at is null
    returning t.subscription_id, greatest(t.since, t.succeeded_at) as since, t.reason)
select b.*, s.project_id, s.url,
    coalesce((select sum(h.failure_count) from health h
              where h.subscription_id = b.subscription_id), 0)::int as failure_count,
    (select count(*) from retries r where r.subscription_id = b.subscription_id)::int as backlog,
    (select min(r.timestamp_ms) from retries r where r.subscription_id = b.subscription_id)
        as oldest_ms
from begun b join subscriptions s on s.id = b.subscription_id;

-- name: end_trouble
-- What took something since its last failure and has nothing waiting is well again. Lanes that are the usual
-- place of their subscription say nothing: they stay.
delete from trouble t using subscriptions s
where s.id = t.subscription_id and t.succeeded_at > coalesce(t.failed_at, '-infinity')
  and not exists (select from retries r where r.subscription_id = t.subscription_id)
  and not exists (select from lanes l where l.subscription_id = t.subscription_id
                  and l.reason not in ('batch', 'latest', 'max_age'))
returning t.subscription_id, t.since, t.reason, t.failing_at is not null as was_failing, s.project_id,
    s.url;

-- name: troubled
-- Whose successes are worth a note.
select subscription_id from trouble;

-- name: hopeless
-- What has failed for so long without a success, and still does.
select t.subscription_id from trouble t
where t.failed_at - greatest(t.since, t.succeeded_at) >= $1;

-- name: delete_trouble
-- Nor of their trouble.
delete from trouble where subscription_id = any ($1::text[]);

-- name: page_dead_letters
-- Deliveries that were given up, newest first, below an id.
select d.id, d.event_id, d.subscription_id, d.project_id, d.type, d.topic, d.partition, d."offset",
    d.order_key, d.attempts, d.reason, d.outcome, d.status, d.error, d.response,
    length(d.body) as size, d.dead_at
from dead_letters d
where ($1::text is null or d.project_id = $1)
  and ($2::text is null or d.subscription_id = $2)
  and ($3::text is null or d.outcome = $3)
  and ($4::int is null or d.status = $4)
  and ($5::int is null or d.status / 100 = $5)
  and ($6::text is null or d.type = $6)
  and ($7::timestamptz is null or d.dead_at >= $7)
  and ($8::timestamptz is null or d.dead_at < $8)
  and ($9::text is null or d.id = $9)
  and ($10::text is null or d.id < $10)
order by d.id desc limit $11;

-- name: dead_letter_of
-- The dead letter of a delivery.
select id from dead_letters where subscription_id = $1 and event_id = $2 order by id desc limit 1;

-- name: dead_causes
-- Deliveries that were given up, by who failed how, the most first; with what came of the newest of each.
with causes as (
    select d.subscription_id, d.outcome, d.status, count(*)::bigint as count,
        min(d.dead_at) as oldest_at, max(d.id) as sample
    from dead_letters d
    where ($1::text is null or d.project_id = $1)
      and ($2::text is null or d.subscription_id = $2)
      and ($3::text is null or d.outcome = $3)
      and ($4::int is null or d.status = $4)
      and ($5::int is null or d.status / 100 = $5)
      and ($6::text is null or d.type = $6)
      and ($7::timestamptz is null or d.dead_at >= $7)
      and ($8::timestamptz is null or d.dead_at < $8)
      and ($9::text is null or d.id = $9)
    group by d.subscription_id, d.outcome, d.status
    order by count(*) desc, max(d.id) desc limit $10
)
select c.*, s.event_id, s.error, s.response
from causes c
join dead_letters s on s.id = c.sample
order by c.count desc, c.sample desc;

-- name: count_dead_letters
-- How many there are, and what they weigh.
select count(*)::bigint as count, coalesce(sum(length(d.body)), 0)::bigint as bytes,
    max(d.id) as last
from dead_letters d
where ($1::text is null or d.project_id = $1)
  and ($2::text is null or d.subscription_id = $2)
  and ($3::text is null or d.outcome = $3)
  and ($4::int is null or d.status = $4)
  and ($5::int is null or d.status / 100 = $5)
  and ($6::text is null or d.type = $6)
  and ($7::timestamptz is null or d.dead_at >= $7)
  and ($8::timestamptz is null or d.dead_at < $8)
  and ($9::text is null or d.id = $9);

-- name: discard_dead_letters
-- Forget some for good.
delete from dead_letters d
where ($1::text is null or d.project_id = $1)
  and ($2::text is null or d.subscription_id = $2)
  and ($3::text is null or d.outcome = $3)
  and ($4::int is null or d.status = $4)
  and ($5::int is null or d.status / 100 = $5)
  and ($6::text is null or d.type = $6)
  and ($7::timestamptz is null or d.dead_at >= $7)
  and ($8::timestamptz is null or d.dead_at < $8)
  and ($9::text is null or d.id = $9);

-- name: expire_dead_letters
-- Forget what was given up too long ago.
delete from dead_letters where dead_at < $1;

-- name: evict_dead_letters
-- Forget the oldest of projects whose dead letters weigh too much; how many of which project.
with weighed as (
    select d.id, d.project_id,
        sum(length(d.body)) over (partition by d.project_id order by d.id desc) as bytes
    from dead_letters d
    where d.project_id in (select e.project_id from dead_letters e
                           group by e.project_id having sum(length(e.body)) > $1)),
evicted as (
    delete from dead_letters d using weighed w
    where w.id = d.id and w.bytes > $1
    returning d.project_id)
select project_id, count(*)::bigint as count from evicted group by project_id;

-- name: add_resend
-- A new job.
insert into resends (id, project_id, asked, until_id, state, rate, total, created_at, source, target)
values ($1, $2, $3, $4, 'queued', $5, $6, $7, $8, $9);

-- name: page_resends
-- Jobs, newest first, below an id; and where what they handed over is now, unless it arrived.
select j.*, r.waiting, r.retrying, d.dead
from resends j
cross join lateral (
    select count(*) filter (where outcome is null) as waiting,
        count(*) filter (where outcome is not null) as retrying
    from retries where resend = j.id) r
cross join lateral (select count(*) as dead from dead_letters where resend = j.id) d
where ($1::text is null or j.id = $1)
  and ($2::text is null or j.project_id = $2)
  and ($3::text is null or j.id < $3)
order by j.id desc limit $4;

-- name: cancel_resend
-- Nothing more is made due; what is due already is sent.
update resends set state = 'cancelled', finished_at = $2
where id = $1 and state in ('queued', 'running')
returning id;

-- name: claim_resend
-- Work on the oldest job that nobody works on: no lock is held, and whoever dies is relieved.
update resends j set state = 'running', claimed_by = $1, claimed_until = $2::timestamptz + $3,
    started_at = coalesce(j.started_at, $2)
where j.id = (
    select o.id from resends o
    where o.state in ('queued', 'running')
      and (o.claimed_until is null or o.claimed_until < $2 or o.claimed_by = $1)
    order by o.claimed_until nulls first, o.id limit 1 for update skip locked)
returning j.*;

-- name: move_dead_letters
-- Make the next dead letters of a job due, oldest first, and note how far it is: all or nothing, and
-- only for whoever works on it.
with job as (
    select j.id, j.cursor, j.until_id from resends j
    where j.id = $10 and j.state = 'running' and j.claimed_by = $11 for update),
picked as (
    select d.* from job, dead_letters d
    join subscriptions s on s.id = d.subscription_id and s.deleted_at is null
    where ($1::text is null or d.project_id = $1)
  and ($2::text is null or d.subscription_id = $2)
  and ($3::text is null or d.outcome = $3)
  and ($4::int is null or d.status = $4)
  and ($5::int is null or d.status / 100 = $5)
  and ($6::text is null or d.type = $6)
  and ($7::timestamptz is null or d.dead_at >= $7)
  and ($8::timestamptz is null or d.dead_at < $8)
  and ($9::text is null or d.id = $9)
      and (job.cursor is null or d.id > job.cursor) and d.id <= job.until_id
    order by d.id limit $12),
moved as (
    insert into retries (
        subscription_id, topic, partition, "offset", event_id, project_id, type, content_type, body,
        order_key, timestamp_ms, traceparent, replay, members, number, due_at, resend,
        about)
    select p.subscription_id, p.topic, p.partition, p."offset", p.event_id, p.project_id, p.type,
        p.content_type, p.body, p.order_key, p.timestamp_ms, p.traceparent, p.replay,
        p.members, 1, $13, $10,
        p.about
    from picked p
    on conflict do nothing),
gone as (delete from dead_letters d using picked p where d.id = p.id),
passed as (select count(*) as count, max(id) as last from picked)
update resends j set moved = j.moved + passed.count, cursor = coalesce(passed.last, j.cursor),
    claimed_until = $13::timestamptz + $14
from passed, job where j.id = job.id
returning passed.count::bigint as count;

-- name: put_resends
-- Make rows for a job, or make those due that are there: all or nothing, and only for whoever works on it.
with job as (
    select id from resends where id = $1 and state = 'running' and claimed_by = $2 for update),
put as (
    insert into retries as r (
        subscription_id, topic, partition, "offset", event_id, project_id, type, content_type, body,
        order_key, timestamp_ms, traceparent, replay, members, about, number, due_at, resend)
    select t.*, 1, $5, job.id from job, unnest(
        $7::text[], $8::text[], $9::int[], $10::bigint[], $11::text[], $12::text[], $13::text[],
        $14::text[], $15::bytea[], $16::text[], $17::bigint[], $18::text[], $19::text[], $20::text[],
        $21::text[])
        as t (subscription_id, topic, partition, "offset", event_id, project_id, type, content_type,
              body, order_key, timestamp_ms, traceparent, replay, members, about)
    join subscriptions s on s.id = t.subscription_id and s.deleted_at is null
    on conflict (topic, partition, "offset", subscription_id, event_id) do update set
        number = 1, due_at = excluded.due_at, outcome = null, status = null, resend = excluded.resend
    where r.due_at is not null and r.waits_for is null and not r.skip
    returning 1)
update resends j set moved = j.moved + (select count(*) from put), missing = j.missing + $4, cursor = $3,
    claimed_until = $5::timestamptz + $6
from job where j.id = job.id
returning (select count(*) from put)::bigint as count;

-- name: hurry_rows
-- Make rows due for a job: their schedule begins anew. What is in flight, or waits for others, is not touched.
with job as (
    select id from resends where id = $1 and state = 'running' and claimed_by = $2 for update),
put as (
    update retries r set number = 1, due_at = $5, outcome = null, status = null, resend = job.id
    from job, unnest($7::text[], $8::text[], $9::int[], $10::bigint[], $11::text[])
        as t (subscription_id, topic, partition, "offset", event_id)
    where r.subscription_id = t.subscription_id and r.topic = t.topic and r.partition = t.partition
      and r."offset" = t."offset" and r.event_id = t.event_id
      and r.due_at is not null and r.waits_for is null and not r.skip
    returning 1)
update resends j set moved = j.moved + (select count(*) from put), missing = j.missing + $4, cursor = $3,
    claimed_until = $5::timestamptz + $6
from job where j.id = job.id
returning (select count(*) from put)::bigint as count;

-- name: finish_resend
-- A job has come to its end. What was to be sent may have arrived meanwhile, or been discarded.
update resends set state = $3, error = $4, finished_at = $5,
    total = case when $3 = 'done' then moved + missing else total end
where id = $1 and claimed_by = $2 and state = 'running'
returning id;
