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
