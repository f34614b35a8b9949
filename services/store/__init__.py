"""The door to Postgres: configuration, retries, dead letters, fencing numbers, history.

    pool           connections with a time limit on every statement; driver errors become ours
    queries/*.sql  every statement, with a name and a sentence
    migrate        from any older schema to the current one, once, under a lock
    cipher         secrets at rest; rotation: all of them re-encrypted under another key

For workers, conditional on a partition's epoch:

    partitions     epochs: what fences off a worker that lost a partition without knowing
    fence          the check that every write makes in its own transaction
    retries        retry rows and dead letters, written in batches
    lanes          who isn't fed live, where it stands, and what was promised to it
    replays        part of the log once more; made by the API, worked through by workers
    changes        all subscriptions, and their changes; notifications: a connection of their own
    geofences      areas: as the API writes them, as workers read them, as the log reports them
    operations     operational events, until Kafka has them
    counts         what filters saw and let pass
    health         what workers report of themselves to the API
    trouble        who fails, since when, and whether that has been reported

For the API:

    registrations  subscriptions and secrets; options and certificates: their columns
    projects       and API keys; portal_links; audit: who changed what
    idempotency    stored answers, encrypted
    keys           of ordered subscriptions: what holds one can be released by hand
    dead_letters   as people see them; resends: jobs that make deliveries due again
    dry_runs       filters tried on the log
    backlog        what waits, and where

The history of attempts:

    attempts       as the recorder writes it: each once, one table per day; attempt_rows: one row
    history        as people read it; history_search: the statements for that

An outage is a StoreGoneError, which leaves open whether the statement took effect: every statement
here can be repeated.
"""
