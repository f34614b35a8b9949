-- How fast a lane moves, for the time it will take to catch up.
alter table lanes add column speed double precision not null default 0;
