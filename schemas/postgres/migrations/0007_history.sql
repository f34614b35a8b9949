-- What the attempts of a retried delivery are looked for by: its body may have other names.
alter table retries add column about text;
alter table dead_letters add column about text;
