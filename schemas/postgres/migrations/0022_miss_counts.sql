-- Which clauses of filters said no: of a sample of events, in slots of an hour, kept as long as matches.
create table miss_counts (
    subscription_id text not null,
    slot            timestamptz not null,
    pointer         text not null,            -- of the clause; empty: of the filter, each miss explained
    missed          bigint not null,
    primary key (subscription_id, slot, pointer)
);
create index miss_counts_by_slot on miss_counts (slot);
