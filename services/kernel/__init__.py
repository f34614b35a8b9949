"""Values, pure decisions and ports: the vocabulary of every other package.

Standard library only, no I/O. A value is a NamedTuple where it is looked up per record (it hashes
fastest) and a `value` class elsewhere. A port says who calls it, what may block and what may raise;
`tests/contract/` holds each port's fake and its real implementation to the same claims.

    event         what a record became: envelope, current type name, position in the log
    about         what an event can be found by: type, plan, route, stop, vehicle
    subscription  who wants which events, where, and how they are signed
    delivery      one event due to one subscription: the pair that gets settled
    attempt       one request, how it ended (`Outcome`), and what we do next (`Verdict`)
    retry         the policy: attempt in, verdict out
    condition     how the outbox of a subscription is doing
    lane          where a subscription stands that isn't fed live, and why
    geofence      an area with a name
    operation     operational events: what the service reports about itself

    registration  subscriptions, projects and API keys as their owners see them
    portal        a link that shows one customer their webhooks
    audit         who changed what
    replay        part of the log once more
    dry_run       a filter tried on the log
    dead_letter   a delivery that was given up
    backlog       what waits, and where
    recorded      an attempt as the history keeps it
    history       what people search it for
    rollup        its sums per minute, hour and day; histogram: durations that can be added up

    ids, clock    24 hex digits, with a type for each kind; time as an argument
    errors        everything that may be raised across packages
    ports/        what the stages need from Kafka, Postgres and the network
"""
