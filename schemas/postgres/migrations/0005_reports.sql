-- Where the owner of each partition stands, for people: written every two seconds where it changed.
alter table partitions add column read_offset bigint;
alter table partitions add column open_offsets integer;
