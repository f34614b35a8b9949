-- The whole schema as it is today. `migrations/` leads to it step by step; a test proves them equal.
-- Times are timestamptz (UTC), ids 24 hex, durations in seconds.

-- Tenants.
create table projects (
    id          text primary key,
    name        text not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    deleted_at  timestamptz,
    coordinate_order text check (coordinate_order in ('lat_lng', 'lng_lat')), -- of bare pairs; null: refused
    max_subscriptions integer not null default 1000
);

-- Who may call the API for a project. The key itself is never stored.
create table api_keys (
    id           text primary key,
    project_id   text not null references projects (id),
    name         text not null,
    prefix       text not null,               -- first characters, to tell keys apart in lists
    hash         bytea not null unique,       -- SHA-256; the key has 256 bits of its own
    scopes       text[] not null,             -- ingest, read, manage
    created_at   timestamptz not null,
    expires_at   timestamptz,
    last_used_at timestamptz,                 -- to the minute
    deleted_at   timestamptz
);
create index api_keys_by_project on api_keys (project_id, id desc) where deleted_at is null;

-- Ways in for one customer each: a token, kept as its hash, that shows some webhooks for a while.
create table portal_links (
    id            text primary key,
    project_id    text not null references projects (id),
    subscriptions text[],                     -- null: all of the project
    scopes        text[] not null,            -- read, manage
    origins       text[] not null,            -- whose pages may embed it
    accent        text,
    logo_url      text,
    hash          bytea not null unique,      -- SHA-256; the token has 256 bits of its own
    created_by    text not null,
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    last_used_at  timestamptz,                -- to the minute
    revoked_at    timestamptz
);
create index portal_links_by_project on portal_links (project_id, id desc) where revoked_at is null;

-- Who wants which events, where.
create table subscriptions (
    id              text primary key,
    project_id      text not null references projects (id),
    url             text not null,
    types           text[] not null,          -- patterns, in order and spelling as written
    description     text not null default '',
    headers         bytea,                    -- static headers as encrypted JSON: they may hold credentials
    headers_key_id  text,
    profile         text not null default 'planner-2022',
    expand          text[] not null default '{}',
    max_in_flight   integer,
    timeout_seconds double precision not null default 15,
    retry_schedule  double precision[],       -- null: the default
    rate_limit      double precision,         -- requests per second of all workers together
    ordered         text not null default 'none' check (ordered in ('none', 'key')),
    order_by        text not null default 'key' check (order_by in ('key', 'route', 'entity')),
    on_exhausted    text not null default 'skip' check (on_exhausted in ('skip', 'block')),
    delivery        jsonb not null default '{"mode": "each"}',
    filter          text,                     -- the pattern in its normal form, compact JSON
    max_age_seconds jsonb not null default '{}',
    start_from      text not null default 'now', -- now, earliest or a time
    status          text not null default 'active' check (status in ('active', 'paused', 'disabled')),
    status_reason   text,
    status_at       timestamptz not null,
    failures_reset_at timestamptz,            -- failure counts from before do not count
    created_by      text not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null,
    deleted_at      timestamptz,
    version         bigint not null default 1,
    epoch           bigint not null default 0, -- grows when it begins anew somewhere: see `starts`
    client_certificate bytea,                 -- for receivers who ask for one: encrypted JSON, with its key
    client_certificate_key_id text
);
create index subscriptions_by_project on subscriptions (project_id, id desc) where deleted_at is null;

-- What signs, encrypted with a key from the environment.
create table secrets (
    id              text primary key,
    subscription_id text not null references subscriptions (id),
    scheme          text not null check (scheme in ('v1', 'v1a')),
    key_id          text not null,            -- of the key that encrypts, so that it can be rotated
    ciphertext      bytea not null,
    public_key      bytea,                    -- v1a
    created_at      timestamptz not null,
    expires_at      timestamptz               -- null: until rotated
);
create index secrets_by_subscription on secrets (subscription_id);

-- Workers hear of a change at once; they re-read everything each minute in case this was lost.
create function notify_subscription() returns trigger language plpgsql as $$
begin
    -- The argument names the column that holds the subscription's id.
    perform pg_notify('webhooks_subscriptions', to_jsonb(coalesce(new, old)) ->> tg_argv[0]);
    return null;
end $$;
create trigger subscriptions_notify after insert or update or delete on subscriptions
    for each row execute function notify_subscription('id');
create trigger secrets_notify after insert or update or delete on secrets
    for each row execute function notify_subscription('subscription_id');

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
    exit_buffer_m   double precision,         -- null: as the geofence role is set
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

-- Fencing numbers: a write under an epoch that is over changes nothing.
create table partitions (
    topic        text not null,
    partition    integer not null,
    epoch        bigint not null,
    worker       text not null,
    committed    bigint,                      -- a copy of the group's offset, which expires in Kafka
    read_offset  bigint,                      -- the next offset that its owner reads, as last reported
    open_offsets integer,                     -- read and not settled, as last reported
    updated_at   timestamptz not null default now(),
    writes       bigint not null default 0,   -- of rows and lanes, ever: fewer than Kafka says is a restore
    primary key (topic, partition)
);

-- Subscriptions that aren't fed live on a partition. A row covers what lies in [cursor, attach_at).
create table lanes (
    topic           text not null,
    partition       integer not null,
    subscription_id text not null,
    cursor          bigint not null,          -- the lowest offset that is open
    settled         text not null default '', -- map of what is settled above it, as in a commit
    attach_at       bigint,                   -- where the feed takes over; null: not yet
    state           text not null,
    reason          text not null,
    since           timestamptz not null,
    flips           integer not null,         -- detachings in a row
    cursor_at       timestamptz not null,     -- about when the record at the cursor was written
    updated_at      timestamptz not null default now(),
    speed           double precision not null default 0, -- offsets per second, of late
    replay_below    bigint,                   -- what lies below is sent again since a person asked for it
    primary key (topic, partition, subscription_id)
);
create index lanes_by_subscription on lanes (subscription_id);

-- What the API promised: deliveries from an offset on. The partition's owner turns it into a lane.
create table starts (
    topic           text not null,
    partition       integer not null,
    subscription_id text not null,
    "offset"        bigint not null,
    kind            text not null check (kind in ('new', 'types', 'rewind')),
    created_at      timestamptz not null default now(),
    epoch           bigint not null default 0, -- of the subscription, since the promise was made
    since           bigint,                   -- where the promise began that this one replaced untaken
    primary key (topic, partition, subscription_id)
);
create index starts_by_subscription on starts (subscription_id);

-- Deliveries that failed and will be tried again. One row per failure, never per event.
create table retries (
    subscription_id text not null,
    topic           text not null,
    partition       integer not null,
    "offset"        bigint not null,
    event_id        text not null,            -- part of the key: a recreated topic uses offsets again
    project_id      text not null,
    type            text not null,
    content_type    text not null,
    body            bytea not null,
    order_key       text,
    timestamp_ms    bigint not null,
    traceparent     text,
    replay          text,
    number          integer not null,         -- of the attempt to come
    due_at          timestamptz,              -- null: in flight at its owner
    outcome         text,                     -- of the attempt before; null: none was made
    status          integer,
    parked_at       timestamptz not null default now(),
    waits_for       text check (waits_for in ('turn', 'person')), -- null: due_at says until when
    skip            boolean not null default false, -- a person gave it up: its owner buries it
    resend          text,                     -- the job that it is sent again for
    about           text,                     -- JSON: type, plan, route, stop, vehicle, external id
    members         text,                     -- of a batch: the offsets of its events, by commas
    primary key (topic, partition, "offset", subscription_id, event_id)
);
create index retries_by_key on retries (subscription_id, topic, partition, order_key, "offset")
    where waits_for = 'turn';
create index retries_due on retries (topic, partition, due_at);
create index retries_by_subscription on retries (subscription_id);
create index retries_by_resend on retries (resend) where resend is not null;

-- Deliveries that were given up, with the last answer.
create table dead_letters (
    subscription_id text not null,
    topic           text not null,
    partition       integer not null,
    "offset"        bigint not null,
    event_id        text not null,
    project_id      text not null,
    type            text not null,
    content_type    text not null,
    body            bytea not null,
    order_key       text,
    timestamp_ms    bigint not null,
    traceparent     text,
    replay          text,
    attempts        integer not null,
    reason          text not null,
    outcome         text,
    status          integer,
    error           text,
    response        bytea not null default '',
    dead_at         timestamptz not null default now(),
    id              text not null default      -- 24 hex, by when it was given up
        lpad(to_hex((extract(epoch from clock_timestamp()) * 16777216)::bigint), 14, '0')
        || left(replace(gen_random_uuid()::text, '-', ''), 10),
    about           text,                     -- as in retries
    resend          text,                     -- the job that it was sent again for
    members         text,                     -- as in retries
    primary key (topic, partition, "offset", subscription_id, event_id)
);
create index dead_letters_by_subscription on dead_letters (subscription_id, dead_at desc);
create unique index dead_letters_by_id on dead_letters (id);
create index dead_letters_by_project on dead_letters (project_id, id desc);
create index dead_letters_by_event on dead_letters (event_id);
create index dead_letters_by_age on dead_letters (dead_at);
create index dead_letters_by_resend on dead_letters (resend) where resend is not null;

-- Ranges that were not delivered, and why. No other case of a missing event exists.
create table gaps (
    id              bigint generated always as identity primary key,
    topic           text not null,
    partition       integer not null,
    from_offset     bigint not null,
    to_offset       bigint not null,
    reason          text not null check (reason in ('retention', 'skipped', 'recreated')),
    recorded_at     timestamptz not null,
    subscription_id text,                     -- null: of the partition, whoever was to get it
    from_time       timestamptz,
    is_open         boolean not null default false, -- retention still passes the cursor
    told_at         timestamptz               -- of the operational event; null: not yet, or nobody's
);
create unique index gaps_open on gaps (topic, partition, subscription_id) where is_open;
create index gaps_by_subscription on gaps (subscription_id, id desc) where subscription_id is not null;

-- Signs of life, and of trouble: written by workers every two seconds where something changed.
create table workers (
    worker      text primary key,
    partitions  integer not null,
    updated_at  timestamptz not null default now()
);
create table health (
    worker          text not null,
    subscription_id text not null,
    failure_count   integer not null,
    outcome         text not null,
    status          integer,
    since           timestamptz not null,
    updated_at      timestamptz not null default now(),
    primary key (subscription_id, worker)
);

-- What workers matched, added up in slots of five minutes and kept for a day and an hour.
create table seen_counts (
    project_id text not null,
    type       text not null,
    slot       timestamptz not null,
    seen       bigint not null,               -- events of the log, each counted once
    bytes      bigint not null default 0,     -- of their values
    peak       integer not null default 0,    -- the most of a second that came to one worker
    primary key (project_id, type, slot)
);
create index seen_counts_by_slot on seen_counts (slot);
create table match_counts (
    subscription_id text not null,
    slot            timestamptz not null,
    matched         bigint not null,
    primary key (subscription_id, slot)
);
create index match_counts_by_slot on match_counts (slot);
create table miss_counts (                    -- of a sample of events, in slots of an hour
    subscription_id text not null,
    slot            timestamptz not null,
    pointer         text not null,            -- of the clause; empty: of the filter, each miss explained
    missed          bigint not null,
    primary key (subscription_id, slot, pointer)
);
create index miss_counts_by_slot on miss_counts (slot);

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

-- Answers to requests with an Idempotency-Key, kept for 24 hours.
create table idempotency (
    caller       text not null,               -- id of the API key, or 'admin'
    key          text not null,
    request_hash bytea not null,              -- method, path and body
    status       integer,                     -- null: still running
    headers      jsonb,
    body         bytea,                       -- encrypted: it may hold a secret that is shown once
    body_key_id  text,
    created_at   timestamptz not null,
    primary key (caller, key)
);
create index idempotency_by_age on idempotency (created_at);

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

-- Operational events that Kafka does not have yet, written with what they tell of.
create table operations (
    number          bigint generated always as identity primary key,
    type            text not null,
    project_id      text not null,
    subscription_id text not null,
    data            jsonb not null,
    created_at      timestamptz not null default now()
);

-- Jobs that send deliveries again: dead letters, parked rows, or what the log still has.
create table resends (
    id          text primary key,
    project_id  text,                         -- null: over all projects
    asked       jsonb not null,               -- the filter
    until_id    text,                         -- the newest dead letter that is meant
    source      text not null default 'dead' check (source in ('dead', 'parked', 'acknowledged')),
    target      text,                         -- the subscription that gets them; null: who got them
    missing     bigint not null default 0,    -- not in the log any more
    state       text not null check (state in ('queued', 'running', 'done', 'cancelled', 'failed')),
    rate        double precision,
    total       bigint not null,
    moved       bigint not null default 0,    -- became retry rows
    cursor      text,                         -- the last of them, or of their attempts
    error       text,
    claimed_by  text,                         -- who works on it, and until when nobody else does
    claimed_until timestamptz,
    created_at  timestamptz not null,
    started_at  timestamptz,
    finished_at timestamptz
);
create index resends_by_project on resends (project_id, id desc);
create index resends_to_do on resends (id) where state in ('queued', 'running');

-- Whose attempts: a number in place of two ids.
create table attempt_sources (
    id              integer generated always as identity primary key,
    project_id      text not null,            -- empty: a probe of the operator's
    subscription_id text not null,            -- empty: a probe; *: all of the project, in statistics
    half            bytea not null,           -- the last 6 bytes of its deliveries' ids
    unique (project_id, subscription_id)
);
create index attempt_sources_by_subscription on attempt_sources (subscription_id);
create index attempt_sources_by_half on attempt_sources (half);

-- Types, topics, outcomes, verdicts, reasons, addresses: a number in place of a word.
create table attempt_words (
    id   integer generated always as identity primary key,
    word text not null unique
);

-- Every request that was made. A table a day, made ahead and dropped after the retention. Wide to narrow:
-- no bytes are lost between columns.
create table attempts (
    at            bigint not null,            -- the start, Unix seconds * 2^24: an id's first 7 bytes
    event         bigint not null,            -- the first 6 bytes of its delivery's id
    produced_ms   bigint not null,            -- the record's timestamp
    "offset"      bigint,
    next_at       timestamptz,
    source        integer not null,           -- attempt_sources
    type          integer not null,           -- this and the next six: attempt_words
    trigger       integer not null,
    outcome       integer not null,
    verdict       integer,
    reason        integer,
    topic         integer,                    -- null: no event of the log
    address       integer,
    partition     integer,
    number        integer not null,
    size          integer not null,           -- bytes of the request's body
    queue_ms      real not null,
    connect_ms    real,
    tls_ms        real,
    first_byte_ms real,
    total_ms      real not null,
    status        smallint,
    tail          bytea not null,             -- the last 5 bytes of its id
    event_id      bytea not null,             -- 12 bytes of 24 hex; of other ids UTF-8 after a zero byte
    key           bytea,                      -- one byte where it is the 1st to 4th of these
    plan_id       bytea,
    route_id      bytea,
    stop_id       bytea,
    vehicle_id    bytea,
    trace_id      bytea,
    external_id   text,
    replay        text,
    headers       text,                       -- of the answer, as JSON
    excerpt       text,
    error         text,
    also          text[]                      -- of a batch: what its events are found by, see kernel/about.py
) partition by range (at);
-- Rows lie about in this order: ranges of it tell where to look, at no cost.
create index attempts_by_start on attempts using brin (at)
    with (pages_per_range = 16, autosummarize = on);
-- 16 bytes at most: Postgres fills pages of such entries to the end, where rows come by subscription.
create index attempts_by_source on attempts (source, at);
create index attempts_by_event on attempts (event);
create index attempts_by_plan on attempts (plan_id) where plan_id is not null;
create index attempts_by_route on attempts (route_id) where route_id is not null;
create index attempts_by_stop on attempts (stop_id) where stop_id is not null;
create index attempts_by_vehicle on attempts (vehicle_id) where vehicle_id is not null;
create index attempts_by_external on attempts (external_id) where external_id is not null;
create index attempts_by_also on attempts using gin (also) where also is not null;

-- Where the recorder goes on in the log of attempts; moved in the transaction that stores them.
create table attempt_offsets (
    topic       text not null,
    partition   integer not null,
    next_offset bigint not null,
    primary key (topic, partition)
);

-- The last record of each worker's run that is stored: one that was written twice is told by it.
create table attempt_runs (
    topic     text not null,
    partition integer not null,
    run       text not null,
    number    bigint not null,
    seen_at   timestamptz not null,
    primary key (topic, partition, run)
);
create index attempt_runs_by_age on attempt_runs (seen_at);

-- What became of deliveries in each minute, hour and day: of each subscription and type, of all types (*), of
-- all subscriptions (*). One row per partition of the log, so that each has one writer.
create table attempt_stats (
    step       text not null check (step in ('minute', 'hour', 'day')),
    source     integer not null,
    at         timestamptz not null,          -- where the step begins
    type       integer not null,
    topic      text not null,
    partition  integer not null,
    delivered  bigint not null,
    failed     bigint not null,
    retried    bigint not null,
    dead       bigint not null,
    bytes      bigint not null,
    receiver   bytea not null,                -- histograms, see kernel/histogram.py
    end_to_end bytea not null,
    primary key (step, source, at, type, topic, partition)
);
create index attempt_stats_by_age on attempt_stats (step, at);
