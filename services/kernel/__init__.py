"""Values, pure decisions and ports: the words that every other package speaks.

Standard library alone, no I/O. A value is a NamedTuple where it is looked up per record (it hashes
fastest) and a `value` class elsewhere. A port says who calls it, what may block and what may raise;
`contract/` in the tests holds each port's fake and its real implementation to the same claims.

    event         what a record became: envelope, today's type, position in the log
    about         what an event is looked for by: type, plan, route, stop, vehicle
    subscription  who wants which events, where, how signed
    delivery      one event due to one subscription: the pair that gets settled
    attempt       one request, how it ended (`Outcome`), and what we do next (`Verdict`)
    retry         the policy: attempt in, verdict out
    condition     how the outbox of a subscription is doing
    lane          where a subscription stands that isn't fed live, and why
    geofence      an area with a name
    operation     what the service says of itself, as events

    registration  subscriptions, projects and API keys as their owners see them
    portal        a link that shows one customer their webhooks
    audit         who changed what
    replay        part of the log once more
    dry_run       a filter tried on the log
    dead_letter   a delivery that was given up
    backlog       what waits, and where
    recorded      an attempt as history keeps it
    history       what people look for in it
    rollup        what it comes to in a minute, an hour, a day; histogram, durations that add up

    ids, clock    24 hex digits, each kind a type of its own; time as an argument
    errors        everything that may be raised across packages
    ports/        what the stages need from Kafka, Postgres and the network
"""
