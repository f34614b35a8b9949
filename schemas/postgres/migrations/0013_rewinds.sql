-- A subscription that a person moved back: what it is sent again is marked as a replay.
alter table lanes add column replay_below bigint;

-- A gap is kept first and told then: whoever comes between the two tells it again.
alter table gaps add column told_at timestamptz;
