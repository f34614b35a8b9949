-- Where the owner of each partition stands, for people: written every two seconds where it changed.
alter table partitions add column read_offset bigint;
alter table partitions add column open_offsets integer;

-- Part of the log once more, for one subscription, beside its live traffic.
create table replays (
    id              text primary key,
    subscription_id text not null references subscriptions (id),
    project_id      text not null,
    from_at         timestamptz not null,
    to_at           timestamptz not null,
    types           text[],                   -- null: all that the subscription asks for
    key             text,
    plan_id         text,
    route_id        text,
    vehicle_id      text,
    rate            double precision,
    speed           double precision,
    state           text not null check (state in ('queued', 'running', 'done', 'cancelled', 'failed')),
    error           text,
    created_by      text not null,
    created_at      timestamptz not null,
    started_at      timestamptz,
    ended_at        timestamptz
);
create index replays_by_project on replays (project_id, id desc);
create index replays_active on replays (subscription_id) where state in ('queued', 'running');

-- Its part of each partition, [from_offset, to_offset): moved by the partition's owner alone.
create table replay_ranges (
    replay_id       text not null references replays (id),
    topic           text not null,
    partition       integer not null,
    from_offset     bigint not null,
    to_offset       bigint not null,
    cursor          bigint not null,          -- everything below is settled
    sent            bigint not null default 0,
    dead            bigint not null default 0,
    waiting         boolean not null default false,
    primary key (replay_id, topic, partition)
);
