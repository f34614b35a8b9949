-- A batch is found by each of its events, and by what each of them is about.
alter table attempts add column also text[];
create index attempts_by_also on attempts using gin (also) where also is not null;
