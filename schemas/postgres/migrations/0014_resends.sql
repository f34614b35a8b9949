-- Resends of what was acknowledged or waits for its next attempt, to whom it went or to another; and what
-- became of them.
alter table resends
    add column source text not null default 'dead' check (source in ('dead', 'parked', 'acknowledged')),
    add column target text,
    add column missing bigint not null default 0;
alter table dead_letters add column resend text;
create index dead_letters_by_resend on dead_letters (resend) where resend is not null;
