-- name: add_project
-- Store a new project.
insert into projects (id, name, created_at, updated_at, coordinate_order, max_subscriptions)
values ($1, $2, $3, $3, $4, $5);

-- name: get_project
-- A project that is not deleted.
select id, name, created_at, updated_at, coordinate_order, max_subscriptions from projects
where id = $1 and deleted_at is null;

-- name: page_projects
-- Projects, newest first, below an id.
select id, name, created_at, updated_at, coordinate_order, max_subscriptions from projects
where deleted_at is null and ($1::text is null or id < $1)
order by id desc limit $2;

-- name: replace_project
-- Overwrite what can be changed of a project, as it was last changed at a time.
update projects set name = $2, coordinate_order = $3, max_subscriptions = $4, updated_at = $5
where id = $1 and deleted_at is null and updated_at = $6;

-- name: delete_project
-- Delete a project; its keys stop working with it.
update projects set deleted_at = $2, updated_at = $2 where id = $1 and deleted_at is null;

-- name: delete_project_subscriptions
-- Delete the subscriptions of a project.
update subscriptions set deleted_at = $2, updated_at = $2, version = version + 1
where project_id = $1 and deleted_at is null
returning id;

-- name: add_api_key
-- Store a new API key, by its hash.
insert into api_keys (id, project_id, name, prefix, hash, scopes, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: api_key_by_hash
-- The key that a caller showed.
select k.id, k.project_id, k.name, k.prefix, k.hash, k.scopes, k.created_at, k.expires_at,
    k.last_used_at
from api_keys k join projects p on p.id = k.project_id and p.deleted_at is null
where k.hash = $1 and k.deleted_at is null;

-- name: page_api_keys
-- Keys of a project, newest first, below an id.
select id, project_id, name, prefix, hash, scopes, created_at, expires_at, last_used_at
from api_keys
where project_id = $1 and deleted_at is null and ($2::text is null or id < $2)
order by id desc limit $3;

-- name: api_key_used
-- Note the last use, to the minute: at most one write a minute and key.
update api_keys set last_used_at = date_trunc('minute', $2::timestamptz)
where id = $1 and last_used_at is distinct from date_trunc('minute', $2::timestamptz);

-- name: delete_api_key
-- Revoke a key.
update api_keys set deleted_at = $3
where project_id = $1 and id = $2 and deleted_at is null
returning id, project_id, name, prefix, hash, scopes, created_at, expires_at, last_used_at;

-- name: add_portal_link
-- Store a new portal link, by the hash of its token.
insert into portal_links (id, project_id, subscriptions, scopes, origins, accent, logo_url, hash,
    created_by, created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: portal_link_by_hash
-- The link whose token somebody showed.
select l.* from portal_links l join projects p on p.id = l.project_id and p.deleted_at is null
where l.hash = $1 and l.revoked_at is null;

-- name: page_portal_links
-- Links of a project or of all, newest first, below an id.
select * from portal_links
where ($1::text is null or project_id = $1) and revoked_at is null
and ($2::text is null or id < $2)
order by id desc limit $3;

-- name: portal_link_used
-- Note the last use, to the minute: at most one write a minute and link.
update portal_links set last_used_at = date_trunc('minute', $2::timestamptz)
where id = $1 and last_used_at is distinct from date_trunc('minute', $2::timestamptz);

-- name: revoke_portal_link
-- Revoke a link.
update portal_links set revoked_at = $3
where ($1::text is null or project_id = $1) and id = $2 and revoked_at is null
returning *;

-- name: expire_portal_links
-- Forget links that ended before a moment.
delete from portal_links where least(expires_at, revoked_at) < $1;

-- name: add_subscription
-- Store a new subscription.
insert into subscriptions (
    id, project_id, url, types, description, headers, headers_key_id, profile, expand,
    max_in_flight, timeout_seconds, retry_schedule, rate_limit, ordered, order_by, on_exhausted,
    delivery, filter, max_age_seconds, start_from, status, status_reason, status_at,
    client_certificate, client_certificate_key_id, created_by, created_at, updated_at, version)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29);

-- name: add_secret
-- Store a signing secret, encrypted.
insert into secrets (id, subscription_id, scheme, key_id, ciphertext, public_key, created_at)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: registrations
-- Subscriptions as people see them, with failures in a row as workers told since the last reset.
select s.*,
    coalesce((select sum(h.failure_count) from health h
              where h.subscription_id = s.id
                and (s.failures_reset_at is null or h.updated_at > s.failures_reset_at)), 0)::int
        as failure_count,
    coalesce((select c.scheme from secrets c where c.subscription_id = s.id
              order by c.created_at desc, c.id desc limit 1), 'v1') as scheme
from subscriptions s
where s.deleted_at is null
  and ($1::text is null or s.id = $1)
  and ($2::text is null or s.project_id = $2)
  and ($3::text is null or s.status = $3)
  and ($4::text is null or s.url = $4)
  and ($5::text is null or $5 = any (s.types))
  and ($6::text is null or s.id < $6)
  and ($9::text[] is null or s.id = any ($9))
order by s.id desc
limit $7 offset $8;

-- name: count_subscriptions
-- How many subscriptions a project has.
select count(*) as total from subscriptions where project_id = $1 and deleted_at is null;

-- name: replace_subscription
-- Overwrite a subscription, if nobody has changed it meanwhile.
update subscriptions set
    url = $3, types = $4, description = $5, headers = $6, headers_key_id = $7, profile = $8,
    expand = $9, max_in_flight = $10, timeout_seconds = $11, retry_schedule = $12,
    rate_limit = $13, ordered = $14, order_by = $15, on_exhausted = $16, delivery = $17,
    filter = $18, max_age_seconds = $19, start_from = $20, status = $21, status_reason = $22,
    status_at = $23, client_certificate = $24, client_certificate_key_id = $25,
    failures_reset_at = $26, updated_at = $27, version = version + 1, epoch = epoch + $28
where id = $1 and version = $2 and deleted_at is null
returning id;

-- name: delete_subscription
-- Delete a subscription; its row stays, as the record of who deleted what.
update subscriptions set deleted_at = $2, updated_at = $2, version = version + 1
where id = $1 and deleted_at is null
returning id;

-- name: delete_retries
-- Nobody is to get these any more.
delete from retries where subscription_id = any ($1::text[]);

-- name: delete_lanes
-- Nor is anything read for them.
delete from lanes where subscription_id = any ($1::text[]);

-- name: delete_starts
-- Nor was anything promised.
delete from starts where subscription_id = any ($1::text[]);

-- name: add_starts
-- Promise deliveries from offsets on. Types that come before an earlier promise was taken over are in
-- it; a rewind replaces it.
insert into starts as s (topic, partition, subscription_id, "offset", kind, epoch)
select t.*, of.epoch
from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[])
    as t (topic, partition, subscription_id, "offset", kind)
join subscriptions of on of.id = t.subscription_id
on conflict (topic, partition, subscription_id) do update set
    "offset" = case when excluded.kind = 'rewind' then excluded."offset" else s."offset" end,
    kind = case when excluded.kind = 'rewind' then excluded.kind else s.kind end,
    since = case when excluded.kind = 'rewind' then least(s.since, s."offset") else s.since end,
    epoch = excluded.epoch;

-- name: skip_retries
-- What waits from before where a subscription begins anew is given up, by the owner of its partition; what
-- was given up by an earlier one and is wanted again is not. One that is in flight stays so, and is given up
-- when it fails. A batch that reaches across stays whole: given up, it would take along what is wanted.
with judged as (
    select r.topic, r.partition, r."offset", r.subscription_id, r.event_id,
        coalesce(substring(r.members from '[0-9]+$')::bigint, r."offset") < t."offset" as is_before
    from unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[])
        as t (topic, partition, subscription_id, "offset", kind)
    join retries r on r.topic = t.topic and r.partition = t.partition
        and r.subscription_id = t.subscription_id
    where t.kind = 'rewind'
)
update retries r set
    skip = j.is_before,
    due_at = case when j.is_before and (r.due_at is not null or r.waits_for is not null)
             then now() else r.due_at end,
    waits_for = case when j.is_before then null else r.waits_for end
from judged j
where r.topic = j.topic and r.partition = j.partition and r."offset" = j."offset"
  and r.subscription_id = j.subscription_id and r.event_id = j.event_id and (j.is_before or r.skip);

-- name: delete_health
-- Nor to hear of their failures.
delete from health where subscription_id = any ($1::text[]);

-- name: list_secrets
-- What is known of the secrets of a subscription.
select id, scheme, public_key, created_at, expires_at from secrets
where subscription_id = $1 order by created_at desc, id desc;

-- name: secret_keys
-- The keys of all that requests are made of: secrets that still sign, headers, certificates.
select key_id from secrets where expires_at is null or expires_at > now()
union select headers_key_id from subscriptions where headers is not null and deleted_at is null
union select client_certificate_key_id from subscriptions
where client_certificate is not null and deleted_at is null;

-- name: end_secrets
-- Secrets end at a time, or earlier if they did already.
update secrets set expires_at = least(coalesce(expires_at, $2), $2)
where subscription_id = $1;

-- name: end_secret
-- A secret ends now, if another one is left that signs. Where it was the present one, the one before it
-- is that again, and ends no more: nothing would sign from then on.
with ended as (
    update secrets s set expires_at = $3
    where s.subscription_id = $1 and s.id = $2 and (s.expires_at is null or s.expires_at > $3)
      and exists (select from secrets o where o.subscription_id = $1 and o.id <> $2
                  and (o.expires_at is null or o.expires_at > $3))
    returning s.id),
kept as (
    update secrets s set expires_at = null
    where exists (select from ended) and s.id = (
        select o.id from secrets o
        where o.subscription_id = $1 and o.id <> $2 and o.expires_at > $3
        order by o.created_at desc, o.id desc limit 1)
      and not exists (select from secrets o
                      where o.subscription_id = $1 and o.id <> $2 and o.expires_at is null))
select id from ended;

-- name: public_keys
-- Public keys of v1a secrets that sign.
select c.subscription_id, c.id, c.public_key from secrets c
join subscriptions s on s.id = c.subscription_id and s.deleted_at is null
where c.public_key is not null and (c.expires_at is null or c.expires_at > now())
order by c.subscription_id, c.created_at desc;

-- name: begin_answer
-- Claim an idempotency key, if it is free or what it holds is too old.
insert into idempotency as i (caller, key, request_hash, created_at) values ($1, $2, $3, $4)
on conflict (caller, key) do update set
    request_hash = excluded.request_hash, status = null, headers = null, body = null,
    body_key_id = null, created_at = excluded.created_at
where i.created_at <= $5
returning key;

-- name: stored_answer
-- What an idempotency key holds.
select request_hash, status, headers, body, body_key_id from idempotency
where caller = $1 and key = $2;

-- name: finish_answer
-- Keep the answer.
update idempotency set status = $3, headers = $4, body = $5, body_key_id = $6
where caller = $1 and key = $2;

-- name: release_answer
-- Forget a claim: nothing was changed.
delete from idempotency where caller = $1 and key = $2 and status is null;

-- name: expire_answers
-- Forget answers that nobody may ask for any more.
delete from idempotency where created_at <= $1;

-- name: release_key
-- The first event of a key, on each of its partitions, is tried again now or given up by its owner.
-- One that is in flight stays so, and is given up when it fails.
with firsts as (
    select distinct on (topic, partition) topic, partition, "offset", event_id
    from retries
    where subscription_id = $1 and order_key = $2
    order by topic, partition, "offset"
)
update retries r set
    skip = r.skip or $3::boolean,
    due_at = case when r.due_at is null and r.waits_for is null then null else now() end,
    waits_for = null
from firsts f
where r.topic = f.topic and r.partition = f.partition and r."offset" = f."offset"
  and r.event_id = f.event_id and r.subscription_id = $1
returning r.topic, r.partition, r."offset", r.event_id;
