-- Lanes: a subscription that isn't fed live on a partition is a cursor; starts: what the API promised.
alter table subscriptions add column epoch bigint not null default 0;

create table lanes (
    topic           text not null,
    partition       integer not null,
    subscription_id text not null,
    cursor          bigint not null,
    settled         text not null default '',
    attach_at       bigint,
    state           text not null,
    reason          text not null,
    since           timestamptz not null,
    flips           integer not null,
    cursor_at       timestamptz not null,
    updated_at      timestamptz not null default now(),
    primary key (topic, partition, subscription_id)
);
create index lanes_by_subscription on lanes (subscription_id);

create table starts (
    topic           text not null,
    partition       integer not null,
    subscription_id text not null,
    "offset"        bigint not null,
    kind            text not null check (kind in ('new', 'types', 'rewind')),
    created_at      timestamptz not null default now(),
    primary key (topic, partition, subscription_id)
);
create index starts_by_subscription on starts (subscription_id);

alter table gaps
    add column subscription_id text,
    add column from_time timestamptz,
    add column is_open boolean not null default false;
create unique index gaps_open on gaps (topic, partition, subscription_id) where is_open;
create index gaps_by_subscription on gaps (subscription_id, id desc) where subscription_id is not null;
