-- The history of attempts: stored once each, kept for days, looked at in many ways.
create table attempt_sources (
    id              integer generated always as identity primary key,
    project_id      text not null,
    subscription_id text not null,
    half            bytea not null,
    unique (project_id, subscription_id)
);
create index attempt_sources_by_subscription on attempt_sources (subscription_id);
create index attempt_sources_by_half on attempt_sources (half);

create table attempt_words (
    id   integer generated always as identity primary key,
    word text not null unique
);

create table attempts (
    id            bytea not null,
    event         bigint not null,
    produced_ms   bigint not null,
    "offset"      bigint,
    next_at       timestamptz,
    source        integer not null,
    type          integer not null,
    trigger       integer not null,
    outcome       integer not null,
    verdict       integer,
    reason        integer,
    topic         integer,
    address       integer,
    partition     integer,
    number        integer not null,
    size          integer not null,
    queue_ms      real not null,
    connect_ms    real,
    tls_ms        real,
    first_byte_ms real,
    total_ms      real not null,
    status        smallint,
    event_id      bytea not null,
    key           bytea,
    plan_id       bytea,
    route_id      bytea,
    stop_id       bytea,
    vehicle_id    bytea,
    trace_id      bytea,
    external_id   text,
    replay        text,
    headers       text,
    excerpt       text,
    error         text
) partition by range (id);
create index attempts_by_id on attempts (id);
create index attempts_by_source on attempts (source, id);
create index attempts_by_event on attempts (event);
create index attempts_by_plan on attempts (plan_id) where plan_id is not null;
create index attempts_by_route on attempts (route_id) where route_id is not null;
create index attempts_by_stop on attempts (stop_id) where stop_id is not null;
create index attempts_by_vehicle on attempts (vehicle_id) where vehicle_id is not null;
create index attempts_by_external on attempts (external_id) where external_id is not null;

create table attempt_offsets (
    topic       text not null,
    partition   integer not null,
    next_offset bigint not null,
    primary key (topic, partition)
);

create table attempt_runs (
    topic     text not null,
    partition integer not null,
    run       text not null,
    number    bigint not null,
    seen_at   timestamptz not null,
    primary key (topic, partition, run)
);
create index attempt_runs_by_age on attempt_runs (seen_at);

create table attempt_stats (
    step       text not null check (step in ('minute', 'hour', 'day')),
    source     integer not null,
    at         timestamptz not null,
    type       integer not null,
    topic      text not null,
    partition  integer not null,
    delivered  bigint not null,
    failed     bigint not null,
    retried    bigint not null,
    dead       bigint not null,
    bytes      bigint not null,
    receiver   bytea not null,
    end_to_end bytea not null,
    primary key (step, source, at, type, topic, partition)
);
create index attempt_stats_by_age on attempt_stats (step, at);
