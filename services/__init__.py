"""Webhooks for fleets: from a Kafka topic to somebody else's server, with nothing lost on the way.

    producers ──▶ Kafka ──▶ dispatch ──▶ receivers            Kafka is the queue: an event is never
                    ▲          │                              copied in order to be delivered, and a
                    │          ├── offsets back to Kafka      success writes nothing to the database.
              POST /v1/events  └── failures to Postgres
                    │                   │                     Postgres holds who wants what, and one
    people ──────▶ api ─────────────────┘                     row per failure.

*The owner of a partition does everything for it*: it decodes, matches, delivers and retries.
Membership of one consumer group is the only coordination there is: no leader, no locks, no second
queue.

An offset is committed once every delivery below it is settled: acknowledged by the receiver, parked
as a row in Postgres, given up as a dead letter with its reason, superseded by a newer position, or
covered by a *lane*. A lane is a cursor of its own in the same log, for a subscription that can't keep
up, is paused, or starts elsewhere in time. Offsets settled out of order go into the commit's metadata,
so that a restart repeats almost nothing.

Promises: at-least-once delivery, with the same `webhook-id` on every repeat; no repeats after a
graceful stop; a trace of every event, however it ends; bounded memory; secrets encrypted at rest;
private addresses refused.

Read next: `dispatch/__init__.py` (the worker), `dispatch/flow.py` (the way of an event on one screen;
`grep -rn "def deliver" services` is the way out, `grep -rn "def settle" services` the way back),
`feed/__init__.py` (offsets), `deliver/__init__.py` (requests), `kernel/` (the vocabulary).

    kernel     values, pure decisions, ports          match    which subscriptions want an event
    catalogue  which events exist                     render   what a receiver reads
    observe    logs, metrics, health                  deliver  one request, well paced
    broker     the door to Kafka                      dispatch where the stages meet: the worker
    store      the door to Postgres                   control  what people may do, without HTTP
    feed       records become events; offsets         api      REST presents control
    lanes      who is behind, where, what next        record   attempts: from the worker to Postgres
    replay     part of the log once more: a plan      geofence entered and exited, from positions
    dashboard  pages, over api's routes               dev      everything on one machine
    cli, run   commands, composition roots            settings everything configurable
"""
