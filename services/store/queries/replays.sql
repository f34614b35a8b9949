-- name: add_replay
-- Store a replay, unless one over the same span is under way: then nothing is returned.
insert into replays (
    id, subscription_id, project_id, from_at, to_at, types, key, plan_id, route_id, vehicle_id,
    rate, speed, state, created_by, created_at, ended_at
)
select $1::text, $2::text, $3::text, $4::timestamptz, $5::timestamptz, $6::text[], $7::text,
    $8::text, $9::text, $10::text, $11::float8, $12::float8, $13::text, $14::text,
    $15::timestamptz, case when $13::text = 'done' then $15::timestamptz end
where not exists (
    select from replays r
    where r.subscription_id = $2 and r.state in ('queued', 'running')
        and r.from_at < $5 and r.to_at > $4
        and (r.types, r.key, r.plan_id, r.route_id, r.vehicle_id)
            is not distinct from ($6, $7, $8, $9, $10)
)
returning id;

-- name: lock_replays_of
-- Two who ask at once wait for one another.
select id from subscriptions where id = $1 for update;

-- name: add_replay_ranges
-- Store its parts of the partitions.
insert into replay_ranges (replay_id, topic, partition, from_offset, to_offset, cursor)
select $1, t.topic, t.partition, t.from_offset, t.to_offset, t.from_offset
from unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[])
    as t (topic, partition, from_offset, to_offset);

-- name: get_replay
-- One replay.
select * from replays where id = $1;

-- name: page_replays
-- Replays of a project (null: of all) and a subscription (null: of all), newest first.
select * from replays
where ($1::text is null or project_id = $1) and ($2::text is null or subscription_id = $2)
    and ($3::text is null or id < $3)
order by id desc
limit $4;

-- name: ranges_of_replays
-- Parts of these replays.
select * from replay_ranges where replay_id = any ($1::text[])
order by replay_id, topic, partition;

-- name: cancel_replay
-- Cancel it, if it has not ended.
update replays set state = 'cancelled', ended_at = $2
where id = $1 and state in ('queued', 'running')
returning id;

-- name: active_replays
-- Replays that have something left to send on these partitions.
select r.* from replays r
where r.state in ('queued', 'running') and exists (
    select from replay_ranges g
    join unnest($1::text[], $2::int[]) as t (topic, partition)
        on g.topic = t.topic and g.partition = t.partition
    where g.replay_id = r.id and g.cursor < g.to_offset
);

-- name: advance_replays
-- Keep how far ranges are, if the epoch of their partition stands; return those that were kept.
with told as (
    select * from unnest(
        $1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bool[]
    ) as t (replay_id, topic, partition, epoch, cursor, sent, dead, waiting)
), kept as (
    update replay_ranges g
    set cursor = t.cursor, sent = t.sent, dead = t.dead, waiting = t.waiting
    from told t
    join partitions p on p.topic = t.topic and p.partition = t.partition and p.epoch = t.epoch
    where g.replay_id = t.replay_id and g.topic = t.topic and g.partition = t.partition
    returning g.replay_id
)
update replays r set state = 'running', started_at = coalesce(r.started_at, $9)
where r.id in (select replay_id from kept) and r.state = 'queued';

-- name: finish_replays
-- End those of these replays that have nothing left; return what became of them.
update replays r set state = 'done', started_at = coalesce(r.started_at, $2), ended_at = $2
where r.id = any ($1::text[]) and r.state in ('queued', 'running')
    and not exists (
        select from replay_ranges g where g.replay_id = r.id and g.cursor < g.to_offset
    )
returning r.id;

-- name: fail_replay
-- End one that can't go on, if it has not ended.
update replays set
    state = 'failed', error = $2, ended_at = $3, started_at = coalesce(started_at, $3)
where id = $1 and state in ('queued', 'running')
returning id;
