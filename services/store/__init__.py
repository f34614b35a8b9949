"""The door to Postgres: configuration, retries, dead letters, fencing numbers.

    pool           connections with a time limit on every statement; drivers' errors become ours
    queries/*.sql  every statement, with a name and a sentence
    migrate        from any older schema to today's, once, under a lock
    cipher         secrets at rest
    partitions     epochs: what fences a worker that lost a partition without knowing
    retries        retry rows and dead letters, written in batches, each conditional on its epoch
    keys           of ordered subscriptions: what holds one is freed by hand
    lanes          who isn't fed live, where it stands, and what was promised it
    changes        all subscriptions for the workers, and word of changes
    geofences      areas: as the API writes them, as workers read them, as the log tells of them
    notifications  LISTEN/NOTIFY over a line of its own
    attempts       the history as the recorder writes it: once each, a table a day
    history        the history as people look at it; attempt_rows, a row of it
    health         what workers tell the API of themselves
    options        order, pace, grouping and age of a subscription, to and from columns
    projects, api_keys, portal_links, subscriptions, secrets, idempotency: what the API stores

An outage is a StoreGoneError, whether the statement took effect being unknown: every statement here
can be repeated.
"""
