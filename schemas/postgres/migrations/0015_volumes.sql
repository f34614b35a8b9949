-- How much there is of each type: bytes, and the most of a second.
alter table seen_counts
    add column bytes bigint not null default 0,
    add column peak integer not null default 0;
