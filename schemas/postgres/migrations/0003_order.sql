-- Rows of ordered subscriptions: what they wait for other than time, and what a person said.
alter table retries
    add column waits_for text check (waits_for in ('turn', 'person')),
    add column skip boolean not null default false;
create index retries_by_key on retries (subscription_id, topic, partition, order_key, "offset")
    where waits_for = 'turn';
