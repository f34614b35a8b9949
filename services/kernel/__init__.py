"""Values, pure decisions and ports: the words that every other package speaks.

Standard library alone, no I/O. A value is a NamedTuple where it is looked up per record (it hashes
fastest) and a `value` class elsewhere. A port says who calls it, what may block and what may raise;
`contract/` in the tests holds each port's fake and its real implementation to the same claims.

    event         what a record became: envelope, today's type, position in the log
    subscription  who wants which events, where, how signed
    delivery      one event due to one subscription: the pair that gets settled
    attempt       one request, how it ended (`Outcome`), and what we do next (`Verdict`)
    about         what an event is looked for by: type, plan, route, stop, vehicle
    recorded      an attempt as history keeps it
    history       what people look for in it
    rollup        what it comes to in a minute, an hour, a day, in histograms that add up
    retry         the policy: attempt in, verdict out
    ports/        what the stages need from Kafka, Postgres and the network
"""
