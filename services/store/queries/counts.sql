-- name: count_seen
-- Add to what was seen; every worker adds its own.
insert into seen_counts (project_id, type, slot, seen, bytes, peak)
select project_id, type, date_bin('5 minutes', $4::timestamptz, 'epoch'), seen, bytes, peak
from unnest($1::text[], $2::text[], $3::bigint[], $5::bigint[], $6::int[])
    as t (project_id, type, seen, bytes, peak)
on conflict (project_id, type, slot) do update set seen = seen_counts.seen + excluded.seen,
    bytes = seen_counts.bytes + excluded.bytes, peak = greatest(seen_counts.peak, excluded.peak);

-- name: count_matched
-- Add to what was matched; every worker adds its own.
insert into match_counts (subscription_id, slot, matched)
select subscription_id, date_bin('5 minutes', $3::timestamptz, 'epoch'), matched
from unnest($1::text[], $2::bigint[]) as t (subscription_id, matched)
on conflict (subscription_id, slot) do update set matched = match_counts.matched + excluded.matched;

-- name: count_missed
-- Add to what clauses said no to; every worker adds its own.
insert into miss_counts (subscription_id, pointer, slot, missed)
select subscription_id, pointer, date_bin('1 hour', $4::timestamptz, 'epoch'), missed
from unnest($1::text[], $2::text[], $3::bigint[]) as t (subscription_id, pointer, missed)
on conflict (subscription_id, slot, pointer)
do update set missed = miss_counts.missed + excluded.missed;

-- name: seen_since
-- What was seen of each type of a project since a time, and how much of it since another.
select type, sum(seen)::bigint as seen,
    coalesce(sum(seen) filter (where slot >= $3), 0)::bigint as lately
from seen_counts where project_id = $1 and slot >= $2
group by type;

-- name: volumes_since
-- What was seen of each type of a project since a time: how many, what they weigh, how many at once.
select type, sum(seen)::bigint as seen, sum(bytes)::bigint as bytes, max(peak) as peak
from seen_counts where project_id = $1 and slot >= $2
group by type;

-- name: matched_since
-- What a subscription matched since a time, and how much of it since another.
select coalesce(sum(matched), 0)::bigint as matched,
    coalesce(sum(matched) filter (where slot >= $3), 0)::bigint as lately
from match_counts where subscription_id = $1 and slot >= $2;

-- name: missed_since
-- How often each clause of a subscription's filter said no since a time.
select pointer, sum(missed)::bigint as missed
from miss_counts where subscription_id = $1 and slot >= $2
group by pointer;

-- name: expire_seen_counts
-- Forget what was seen before.
delete from seen_counts where slot < $1;

-- name: expire_match_counts
-- Forget what was matched before.
delete from match_counts where slot < $1;

-- name: expire_miss_counts
-- Forget what clauses said no to before.
delete from miss_counts where slot < $1;
