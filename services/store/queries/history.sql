-- name: attempt_offset
-- Where the recorder of a partition goes on.
select next_offset from attempt_offsets where topic = $1 and partition = $2

-- name: begin_attempt_offset
-- Begin a partition of the log of attempts.
insert into attempt_offsets (topic, partition, next_offset) values ($1, $2, $3) on conflict do nothing

-- name: move_attempt_offset
-- Go on, unless somebody else did: the fence of a recorder that lost its partition.
update attempt_offsets set next_offset = $4 where topic = $1 and partition = $2 and next_offset = $3

-- name: attempt_run_numbers
-- The last record of each run that is stored.
select run, number from attempt_runs where topic = $1 and partition = $2 and run = any($3::text[])

-- name: note_attempt_runs
-- Note the last record of each run.
insert into attempt_runs (topic, partition, run, number, seen_at)
select $1::text, $2::integer, run, number, now() from unnest($3::text[], $4::bigint[]) as t (run, number)
on conflict (topic, partition, run) do update set number = excluded.number, seen_at = now()

-- name: expire_attempt_runs
-- Forget runs whose records are in the log no more.
delete from attempt_runs where seen_at < $1

-- name: add_attempt_words
-- Give numbers to words that have none.
insert into attempt_words (word) select unnest($1::text[]) order by 1 on conflict do nothing

-- name: attempt_words
-- The numbers of words.
select id, word from attempt_words where word = any($1::text[])

-- name: attempt_words_by_id
-- The words of numbers.
select id, word from attempt_words where id = any($1::integer[])

-- name: add_attempt_sources
-- Give numbers to subscriptions that have none.
insert into attempt_sources (project_id, subscription_id, half)
select * from unnest($1::text[], $2::text[], $3::bytea[]) order by 1, 2 on conflict do nothing

-- name: attempt_sources
-- The numbers of subscriptions.
select s.id, s.project_id, s.subscription_id from attempt_sources s
join unnest($1::text[], $2::text[]) as t (project_id, subscription_id)
using (project_id, subscription_id)

-- name: attempt_sources_by_id
-- The subscriptions of numbers.
select id, project_id, subscription_id from attempt_sources where id = any($1::integer[])

-- name: attempt_sources_of
-- The numbers of a project, of a subscription, of those that a delivery's id names, or of all.
select id, subscription_id from attempt_sources
where ($1::text is null or project_id = $1) and ($2::text is null or subscription_id = $2)
and ($3::bytea is null or half = $3)

-- name: attempt_days
-- The tables of days that are there.
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'attempts'::regclass order by c.relname desc

-- name: attempt_stats_for_update
-- What a partition's recorder has counted so far.
select s.* from attempt_stats s
join unnest($3::text[], $4::integer[], $5::timestamptz[], $6::integer[]) as t (step, source, at, type)
using (step, source, at, type)
where s.topic = $1 and s.partition = $2

-- name: put_attempt_stats
-- What a partition's recorder has counted by now.
insert into attempt_stats (topic, partition, step, source, at, type, delivered, failed, retried, dead,
    bytes, receiver, end_to_end)
select $1::text, $2::integer, * from unnest($3::text[], $4::integer[], $5::timestamptz[], $6::integer[], $7::bigint[],
    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[], $13::bytea[])
on conflict (step, source, at, type, topic, partition) do update set
    delivered = excluded.delivered, failed = excluded.failed, retried = excluded.retried,
    dead = excluded.dead, bytes = excluded.bytes, receiver = excluded.receiver,
    end_to_end = excluded.end_to_end

-- name: expire_attempt_stats
-- Forget the points of a step from before.
delete from attempt_stats where step = $1 and at < $2

-- name: attempt_stats
-- The points of some subscriptions between two times, by step.
select at, delivered, failed, retried, dead, bytes, receiver, end_to_end from attempt_stats
where step = $1 and source = any($2::integer[]) and at >= $3 and at < $4 and type = $5

-- name: attempts_since
-- Which of some events were attempted between two starts, for which of some sources, and when last. By the
-- events or by the sources, whichever are the fewer rows: a source with an attempt a day has hardly any.
select event, source, max(at) as at from attempts
where event = any($1::bigint[]) and source = any($4::integer[]) and at >= $2 and at < $3
group by event, source

-- name: delivery_body
-- The body of a delivery that failed: it is stored as it goes out.
select type, body, content_type from retries where subscription_id = $1 and event_id = $2
union all
select type, body, content_type from dead_letters where subscription_id = $1 and event_id = $2
limit 1
