-- Operational events that Kafka does not have yet, written with what they tell of.
create table operations (
    number          bigint generated always as identity primary key,
    type            text not null,
    project_id      text not null,
    subscription_id text not null,
    data            jsonb not null,
    created_at      timestamptz not null default now()
);
