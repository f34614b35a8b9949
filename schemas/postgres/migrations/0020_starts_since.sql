-- Where an earlier promise began that nobody had taken over when a rewind replaced it: what that leaves out.
alter table starts add column since bigint;
