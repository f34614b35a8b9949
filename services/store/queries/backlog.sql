-- name: lanes_of_subscription
-- Its lanes, on whatever partitions.
select l.* from lanes l where l.subscription_id = $1;

-- name: starts_of_subscription
-- What was promised to it, and no owner has taken over yet.
select s.topic, s.partition, s.subscription_id, s."offset", s.kind, s.epoch
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
