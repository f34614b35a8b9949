-- How often rows or lanes of a partition were written, ever. Commits to Kafka say on how many they count,
-- so that a Postgres that went back in time is found out, whether or not an epoch began since.
alter table partitions add column writes bigint not null default 0;
