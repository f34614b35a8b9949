-- Who changed what, through any API; written in the transaction of the change.
create table audit (
    id          text primary key,             -- 24 hex, by time
    at          timestamptz not null,
    actor       text not null,                -- id of the API key, 'admin', 'system'
    address     text,                         -- where the request came from
    project_id  text,
    action      text not null,                -- create, update, delete, pause …
    object_type text not null,
    object_id   text not null,
    before      jsonb,                        -- of an update what differs; never a secret
    after       jsonb
);
create index audit_by_project on audit (project_id, id desc);
create index audit_by_object on audit (object_id, id desc);
create index audit_by_actor on audit (actor, id desc);
create index audit_by_age on audit (at);

-- Subscriptions that fail, one row for all workers together: each step is told of once.
create table trouble (
    subscription_id text primary key,
    since           timestamptz not null,     -- first failure
    failed_at       timestamptz,              -- last failure that counts towards switching off
    succeeded_at    timestamptz,              -- last success since
    failing_at      timestamptz,              -- when it was told that it is failing; null: it wasn't
    reason          text
);

-- Dead letters are listed, newest first, and sent again: an id that sorts by when they were given up.
alter table dead_letters add column id text not null default
    lpad(to_hex((extract(epoch from clock_timestamp()) * 16777216)::bigint), 14, '0')
    || left(replace(gen_random_uuid()::text, '-', ''), 10);
create unique index dead_letters_by_id on dead_letters (id);
create index dead_letters_by_project on dead_letters (project_id, id desc);
create index dead_letters_by_event on dead_letters (event_id);
create index dead_letters_by_age on dead_letters (dead_at);

-- A resend is a retry row, due at once; of which job.
alter table retries add column resend text;
create index retries_by_resend on retries (resend) where resend is not null;

-- Jobs that make dead letters due again.
create table resends (
    id          text primary key,
    project_id  text,                         -- null: over all projects
    asked       jsonb not null,               -- the filter
    until_id    text,                         -- the newest dead letter that is meant
    state       text not null check (state in ('queued', 'running', 'done', 'cancelled', 'failed')),
    rate        double precision,
    total       bigint not null,
    moved       bigint not null default 0,    -- became retry rows
    cursor      text,                         -- the last of them
    error       text,
    claimed_by  text,                         -- who works on it, and until when nobody else does
    claimed_until timestamptz,
    created_at  timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz
);
create index resends_by_project on resends (project_id, id desc);
create index resends_to_do on resends (id) where state in ('queued', 'running');
