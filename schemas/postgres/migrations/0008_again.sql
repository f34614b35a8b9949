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
