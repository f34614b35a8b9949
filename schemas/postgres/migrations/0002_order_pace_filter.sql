-- What a subscription may say of order, pace, grouping, content and age.
alter table subscriptions
    add column rate_limit double precision,
    add column ordered text not null default 'none' check (ordered in ('none', 'key')),
    add column order_by text not null default 'key' check (order_by in ('key', 'route', 'entity')),
    add column on_exhausted text not null default 'skip' check (on_exhausted in ('skip', 'block')),
    add column delivery jsonb not null default '{"mode": "each"}',
    add column filter text,
    add column max_age_seconds jsonb not null default '{}',
    add column start_from text not null default 'now';
