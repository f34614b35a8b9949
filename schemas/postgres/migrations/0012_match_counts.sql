-- What workers matched, added up in slots of five minutes and kept for a day and an hour.
create table seen_counts (
    project_id text not null,
    type       text not null,
    slot       timestamptz not null,
    seen       bigint not null,               -- events of the log, each counted once
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
