alter table projects
    add column coordinate_order text check (coordinate_order in ('lat_lng', 'lng_lat')),
    add column max_subscriptions integer not null default 1000;

-- Areas that filters name by id: made by people, or taken from planner.master. Newest wins; a deleted
-- one stays as a row, so that an older record of it brings nothing back.
create table geofences (
    id          text not null,                -- the planner's own for those taken from it
    project_id  text not null references projects (id),
    label       text not null,
    color       text,
    external_id text,
    enabled     boolean not null,
    area        jsonb not null,               -- {"circle": …} or {"geometry": GeoJSON}
    origin      text not null check (origin in ('api', 'planner')),
    changed_at  timestamptz not null,         -- when what it says came about; older news change nothing
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz,
    version     bigint not null default 1,
    primary key (project_id, id)
);
create index geofences_by_id on geofences (id);

-- Workers hear of a project whose geofences changed.
create function notify_geofences() returns trigger language plpgsql as $$
begin
    perform pg_notify('webhooks_geofences', to_jsonb(coalesce(new, old)) ->> 'project_id');
    return null;
end $$;
create trigger geofences_notify after insert or update or delete on geofences
    for each row execute function notify_geofences();

-- Filters tried on the log before they are stored: jobs of the API, forgotten after a day.
create table dry_runs (
    id            text primary key,
    project_id    text not null references projects (id),
    question      jsonb not null,
    state         text not null default 'queued'
        check (state in ('queued', 'running', 'done', 'cancelled', 'failed')),
    done          bigint not null default 0,    -- records read
    total         bigint,                       -- of those there are; null: nobody has begun
    result        jsonb,
    error         text,
    claimed_by    text,
    claimed_until timestamptz,
    created_at    timestamptz not null,
    started_at    timestamptz,
    finished_at   timestamptz
);
