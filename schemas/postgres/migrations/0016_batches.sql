-- A batch is one row; whoever reads its events again knows by this that they are settled.
alter table retries add column members text;
alter table dead_letters add column members text;

-- A promise that follows another is not taken over with it.
alter table starts add column epoch bigint not null default 0;
