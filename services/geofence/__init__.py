"""Positions in; entered and exited events out, without flapping.

    planner.positions ──▶ judge: where was it, where is it ──▶ vehicle.geofence.entered/exited, same topic
                             │        ▲
                             ▼        │ on assignment, before the first position
                      webhooks.geofence: the state of each vehicle, compacted

    vehicle   what is known of one vehicle, and how it is written down
    judge     one position against the current fences: the transitions, and the state afterwards
    consume   the group's partitions: restore, read, judge, write

*Both positions are judged by the same, current geometry*: a fence is entered only if the position before
lies outside it as it is now. So a first position, a new fence around a parked van, and an edited or
deleted fence set the state without an event.

*Order of effects* of a batch: transitions, then states, then the offset, each awaited. A crash in
between starts again from the state before and repeats transitions under the same ids, which are made of
vehicle, fence, transition and the position that caused it. A state knows the offset up to which it was
judged, so nothing is judged twice, and the higher offset wins over anything a zombie wrote late. While
a vehicle moves without crossing a fence, its state is written once a minute, and what the written state
lacks isn't committed until then: whoever takes over knows exactly what was known, so a late position is
still recognised as late.

A state is kept in the partition with the same number as its vehicle's positions, whichever partitioner
the producer uses; that is why both topics have the same number of partitions.

On failure: *Kafka gone*: reading waits. *Postgres gone*: the fences known so far are used.
"""
