"""The door to Postgres: configuration, retries, dead letters, fencing numbers, history.

    pool           connections with a time limit on every statement; drivers' errors become ours
    queries/*.sql  every statement, with a name and a sentence
    migrate        from any older schema to today's, once, under a lock
    cipher         secrets at rest; rotation, all of them under another key

For workers, and conditional on the epoch of a partition:

    partitions     epochs: what fences a worker that lost a partition without knowing
    fence          asked by every write, in its own transaction
    retries        retry rows and dead letters, written in batches
    lanes          who isn't fed live, where it stands, and what was promised it
    replays        part of the log once more; made by the API, gone through by workers
    changes        all subscriptions, and word of changes; notifications, over a line of their own
    geofences      areas: as the API writes them, as workers read them, as the log tells of them
    operations     what the service says of itself, until Kafka has it
    counts         what filters saw and let pass
    health         what workers tell the API of themselves
    trouble        who fails, since when, and whether that was told

For the API:

    registrations  subscriptions and secrets; options and certificates, to and from columns
    projects       and API keys; portal_links; audit, who changed what
    idempotency    answers, encrypted
    keys           of ordered subscriptions: what holds one is freed by hand
    dead_letters   as people see them; resends, jobs that make deliveries due again
    dry_runs       filters tried on the log
    backlog        what waits, and where

The history of attempts:

    attempts       as the recorder writes it: once each, a table a day; attempt_rows, a row of it
    history        as people look at it; history_search, the statements for that

An outage is a StoreGoneError, whether the statement took effect being unknown: every statement here
can be repeated.
"""
