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
select b.*,
    coalesce((select sum(h.failure_count) from health h
              where h.subscription_id = b.subscription_id), 0)::int as failure_count,
    (select count(*) from retries r where r.subscription_id = b.subscription_id)::int as backlog,
    (select min(r.timestamp_ms) from retries r where r.subscription_id = b.subscription_id)
        as oldest_ms
from begun b;

-- name: end_trouble
-- What took something since its last failure and has nothing waiting is well again.
delete from trouble t
where t.succeeded_at > coalesce(t.failed_at, '-infinity')
  and not exists (select from retries r where r.subscription_id = t.subscription_id)
returning t.subscription_id, t.since, t.reason, t.failing_at is not null as was_failing;

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
