-- Ways in for one customer each: a token, kept as its hash, that shows some webhooks for a while.
create table portal_links (
    id            text primary key,
    project_id    text not null references projects (id),
    subscriptions text[],                     -- null: all of the project
    scopes        text[] not null,            -- read, manage
    origins       text[] not null,            -- whose pages may embed it
    accent        text,
    logo_url      text,
    hash          bytea not null unique,      -- SHA-256; the token has 256 bits of its own
    created_by    text not null,
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    last_used_at  timestamptz,                -- to the minute
    revoked_at    timestamptz
);
create index portal_links_by_project on portal_links (project_id, id desc) where revoked_at is null;
