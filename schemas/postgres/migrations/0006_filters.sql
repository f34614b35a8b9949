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
