"""Records become events; offsets move when all below is settled.

    decode      a record becomes an `Event`, or `Poison` with the reason
    conform     does an event's `data` hold to its type's schema? Counted, delivered all the same
    quarantine  what is no event is kept beside the log, with its reason in headers
    tracker     which offsets of a partition are open; the lowest of them is what is committed
    ages        how old the oldest open record of a partition is
    settled_map what is settled above it, packed into the commit's metadata
    start       where a new owner begins: committed, expired, reset by a person, recreated

Guarantees, by the numbers of the invariants:

1. *Commit safety.* A polled batch is registered with the tracker before anything can commit, so no
   open offset lies below the committed one. What is committed is the lowest open offset, never
   "where the consumer is".
8. *Metadata is a hint.* What is unknown, foreign or damaged means "nothing above is settled"; the
   committed offset itself is never settled by it. Empty metadata means that a person reset the group.

Everything here is pure and belongs to one partition under one epoch; nothing awaits.
"""
