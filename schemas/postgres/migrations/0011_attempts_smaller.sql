-- Attempts: a third less on disk. An id is two columns, so that the index by subscription has entries of
-- 16 bytes, whose pages Postgres fills to the end; by id alone they are found through ranges, without an
-- entry for each. Days that are there are moved.
alter table attempts rename to attempts_before;
alter index attempts_by_source rename to attempts_before_by_source;
alter index attempts_by_event rename to attempts_before_by_event;
alter index attempts_by_plan rename to attempts_before_by_plan;
alter index attempts_by_route rename to attempts_before_by_route;
alter index attempts_by_stop rename to attempts_before_by_stop;
alter index attempts_by_vehicle rename to attempts_before_by_vehicle;
alter index attempts_by_external rename to attempts_before_by_external;
do $$ -- newer versions of Postgres name what is not null, after the table
declare
    name text;
begin
    for name in select conname from pg_constraint
        where conrelid = 'attempts_before'::regclass and contype = 'n'
    loop
        execute format('alter table attempts_before rename constraint %I to %I', name, name || '_before');
    end loop;
end $$;

create table attempts (
    at            bigint not null,
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
    tail          bytea not null,
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
) partition by range (at);
create index attempts_by_start on attempts using brin (at)
    with (pages_per_range = 16, autosummarize = on);
create index attempts_by_source on attempts (source, at);
create index attempts_by_event on attempts (event);
create index attempts_by_plan on attempts (plan_id) where plan_id is not null;
create index attempts_by_route on attempts (route_id) where route_id is not null;
create index attempts_by_stop on attempts (stop_id) where stop_id is not null;
create index attempts_by_vehicle on attempts (vehicle_id) where vehicle_id is not null;
create index attempts_by_external on attempts (external_id) where external_id is not null;

do $$
declare
    day text;
begin
    for day in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'attempts_before'::regclass order by 1
    loop
        execute format('alter table attempts_before detach partition %I', day);
        execute format('alter table %I rename to attempts_moved', day);
        execute format('create table %I (like attempts)', day);
        execute format(
            'alter table attempts attach partition %I for values from (%s) to (%s)', day,
            extract(epoch from to_date(right(day, 8), 'YYYYMMDD'))::bigint << 24,
            (extract(epoch from to_date(right(day, 8), 'YYYYMMDD'))::bigint + 86400) << 24);
        insert into attempts
        select ('x' || encode(substr(id, 1, 7), 'hex'))::bit(56)::bigint, event, produced_ms,
            "offset", next_at, source, type, trigger, outcome, verdict, reason, topic, address, partition, number, size, queue_ms, connect_ms, tls_ms,
            first_byte_ms, total_ms, status, substr(id, 8), event_id,
            case key when plan_id then '\x01' when route_id then '\x02' when stop_id then '\x03'
                when vehicle_id then '\x04' else key end,
            plan_id, route_id, stop_id, vehicle_id, trace_id, external_id, replay, headers,
            excerpt, error
        from attempts_moved order by source, id;
        drop table attempts_moved;
    end loop;
end $$;
drop table attempts_before;
