"""Postgres, as workers see it. Every call may raise StoreGoneError: wait, then repeat it.

Every write to rows of a partition carries the epoch under which it was decided, and is conditional
on that epoch in the same statement: a worker that slept through losing its partition changes nothing.

    partitions  the fencing numbers, and what a new owner finds
    retries     a row per failure: parked, removed, buried as a dead letter
    lanes       who is behind, where, and what was promised
    sources     subscriptions and geofences, and notice of changes
    health      what workers report of themselves and of receivers
    operations  operational events waiting to be written to Kafka
    counts      events, by type and by subscription
    replays     part of the log once more

`services/store` has a module for each; `tests/contract` holds it and its fake to the same claims.
"""
