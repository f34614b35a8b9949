-- name: add_geofence
-- Store a new geofence.
insert into geofences (id, project_id, label, color, external_id, enabled, area, origin, changed_at,
    created_at, updated_at, exit_buffer_m)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11);

-- name: find_geofences
-- Geofences with an id, of one project or of all.
select * from geofences
where id = $1 and deleted_at is null and ($2::text is null or project_id = $2)
order by project_id;

-- name: page_geofences
-- Geofences, newest first, below an id.
select * from geofences
where deleted_at is null
  and ($1::text is null or project_id = $1)
  and ($2::text is null or id < $2)
order by id desc limit $3;

-- name: replace_geofence
-- Overwrite a geofence, if nobody has changed it meanwhile.
update geofences set
    label = $4, color = $5, external_id = $6, enabled = $7, area = $8, origin = $9,
    changed_at = $10, updated_at = $11, exit_buffer_m = $12, version = version + 1
where project_id = $1 and id = $2 and version = $3 and deleted_at is null;

-- name: geofence_users
-- Subscriptions of a project whose filters name a geofence.
select id as subscription_id, project_id, url from subscriptions
where project_id = $1 and deleted_at is null and filter is not null
  and (jsonb_path_exists(filter::jsonb, '$.**."geo-within".geofence[*] ? (@ == $id)',
                         jsonb_build_object('id', $2::text), true)
    or jsonb_path_exists(filter::jsonb, '$.**."geo-outside".geofence[*] ? (@ == $id)',
                         jsonb_build_object('id', $2::text), true))
order by id;

-- name: delete_geofence
-- Delete a geofence; its row stays, so that an older record brings nothing back.
update geofences set deleted_at = $3, changed_at = $3, updated_at = $3, version = version + 1
where project_id = $1 and id = $2 and deleted_at is null;

-- name: delete_project_geofences
-- Delete the geofences of a project.
update geofences set deleted_at = $2, changed_at = $2, updated_at = $2, version = version + 1
where project_id = $1 and deleted_at is null;

-- name: some_geofences
-- Geofences of some projects, or of all, for workers.
select * from geofences
where deleted_at is null and ($1::text[] is null or project_id = any ($1))
order by project_id, id;

-- name: take_geofence
-- What an event says of a geofence, unless what is stored is newer; a version only for what is new.
with before as (
    select version from geofences where project_id = $2 and id = $1
), taken as (
    insert into geofences as g (id, project_id, label, color, external_id, enabled, area, origin,
        changed_at, created_at, updated_at, deleted_at)
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
    where exists (select from projects p where p.id = $2 and p.deleted_at is null)
    on conflict (project_id, id) do update set
        label = excluded.label, color = excluded.color, external_id = excluded.external_id,
        enabled = excluded.enabled, area = excluded.area, origin = excluded.origin,
        changed_at = excluded.changed_at, updated_at = excluded.updated_at,
        deleted_at = excluded.deleted_at,
        version = g.version + case when
            (g.label, g.color, g.external_id, g.enabled, g.area, g.deleted_at is null)
            is distinct from (excluded.label, excluded.color, excluded.external_id,
                              excluded.enabled, excluded.area, excluded.deleted_at is null)
            then 1 else 0 end
    where g.changed_at <= excluded.changed_at
    returning version
)
select taken.version is distinct from before.version as changed
from taken left join before on true;

-- name: coordinate_order
-- Which number comes first in a bare pair of a project.
select coordinate_order from projects where id = $1 and deleted_at is null;

-- name: project_usage
-- How many subscriptions a project has, what their filters take, and how many it may have.
select count(s.id)::int as subscriptions,
    coalesce(sum(octet_length(s.filter)), 0)::bigint as filter_bytes, p.max_subscriptions
from projects p left join subscriptions s on s.project_id = p.id and s.deleted_at is null
where p.id = $1
group by p.id;

-- name: add_dry_run
-- Store a new dry run.
insert into dry_runs (id, project_id, question, created_at) values ($1, $2, $3, $4);

-- name: get_dry_run
-- A dry run and how far it is.
select * from dry_runs where id = $1;

-- name: cancel_dry_run
-- End a dry run that isn't over.
update dry_runs set state = 'cancelled', finished_at = $2
where id = $1 and state in ('queued', 'running');

-- name: claim_dry_run
-- Work on the oldest dry run that nobody works on; whoever died is relieved.
update dry_runs j set state = 'running', claimed_by = $1, claimed_until = $2::timestamptz + $3,
    started_at = $2, done = 0
where j.id = (
    select o.id from dry_runs o
    where o.state = 'queued' or (o.state = 'running' and o.claimed_until < $2)
    order by o.id limit 1 for update skip locked)
returning j.*;

-- name: note_dry_run
-- How far a dry run is, for whoever still works on it.
update dry_runs set done = $3, total = $4, claimed_until = $5
where id = $1 and claimed_by = $2 and state = 'running'
returning id;

-- name: finish_dry_run
-- What a dry run found.
update dry_runs set state = $3, result = $4, error = $5, finished_at = $6
where id = $1 and claimed_by = $2 and state = 'running';

-- name: expire_dry_runs
-- Forget dry runs that nobody asks for any more.
delete from dry_runs where created_at <= $1;
