"""Positions in; entered and exited out, without flapping.

    planner.positions ──▶ judge: where was it, where is it ──▶ vehicle.geofence.entered/exited, there too
                             │        ▲
                             ▼        │ on assignment, before the first position
                      webhooks.geofence: the state of each vehicle, compacted

    vehicle   what is known of one vehicle, and how it is written down
    judge     one position against the fences of today: the transitions, and what is known after it
    consume   the group's partitions: restore, read, judge, write

*Both sides are judged by the same, current geometry*: a fence is entered only if the position before
lies outside of it as it is now. So a first position, a new fence around a parked van, an edited or a
deleted one set the state without an event.

*Order of effects* of a batch: transitions, then states, then the offset, each awaited. A crash in
between judges again from the state before and repeats transitions under the same ids, which are made of
vehicle, fence, transition and the position that caused it. A state knows the offset that it includes, so
that nothing is judged twice, and the higher offset wins over what a zombie wrote late. Where a vehicle
moved and no fence was crossed its state is written once a minute, and what it lacks isn't committed until
then: whoever reads on knows just what was known, so that a late position stays one.

A state lies in the partition of the log that has its vehicle's positions, whoever's partitioner chose
that, which is why both topics have the same number of partitions.

On failure: *Kafka gone*: reading waits. *Postgres gone*: the fences known so far count.
"""
