-- name: lanes_of_subscription
-- Its lanes, on whatever partitions.
select l.* from lanes l where l.subscription_id = $1;

-- name: starts_of_subscription
-- What was promised to it, and no owner has taken over yet.
select s.topic, s.partition, s.subscription_id, s."offset", s.kind, s.epoch, s.since
from starts s where s.subscription_id = $1;

-- name: retries_of_subscription
-- How many of its deliveries wait to be tried again, and from when the oldest is.
select count(*) as retries, min(timestamp_ms) as oldest_ms from retries where subscription_id = $1;

-- name: held_keys
-- Keys of an ordered subscription whose event failed and waits for its time, or for a person.
select r.order_key from retries r
join subscriptions s on s.id = r.subscription_id and s.ordered = 'key'
where r.subscription_id = $1 and r.order_key is not null and r.waits_for is distinct from 'turn'
group by r.order_key order by min(r.timestamp_ms) limit $2;

-- name: retries_in_short
-- How many deliveries of each subscription wait to be tried again, up to a limit, and the oldest of them.
select s.id, r.retries, r.oldest_ms
from unnest($1::text[]) as s (id)
cross join lateral (
    select count(*) as retries, min(few.timestamp_ms) as oldest_ms
    from (select timestamp_ms from retries where subscription_id = s.id limit $2) few) r;

-- name: lanes_in_short
-- Where the lanes of some subscriptions stand.
select subscription_id, topic, partition, cursor, cursor_at
from lanes where subscription_id = any ($1::text[]);

-- name: lanes_page
-- Lanes of one subscription or of all, newest subscriptions first, after the one that was named.
select l.* from lanes l
where ($1::text is null or l.subscription_id = $1)
  and ($2::text is null or l.subscription_id < $2
       or (l.subscription_id = $2 and (l.topic, l.partition) > ($3::text, $4::int)))
order by l.subscription_id desc, l.topic, l.partition limit $5;

-- name: owned_partitions
-- Every partition that a worker has owned, and where it last said that it stands.
select p.topic, p.partition, p.epoch, p.worker, p.committed, p.read_offset, p.open_offsets, p.updated_at
from partitions p order by p.topic, p.partition;

-- name: lane_counts
-- How many subscriptions have a lane on each partition.
select l.topic, l.partition, count(*) as count from lanes l group by l.topic, l.partition;
