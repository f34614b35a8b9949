"""Records become events; offsets move once everything below them is settled.

    decode      a record becomes an `Event`, or `Poison` with the reason
    conform     does an event's `data` match its type's schema? Counted, but delivered all the same
    quarantine  a record that is no event, as it is kept in its own topic, with the reason in headers
    tracker     which offsets of a partition are open; the lowest of them is what is committed
    ages        how old the oldest open record of a partition is
    settled_map what is settled above the committed offset, packed into the commit's metadata
    start       where a new owner begins: committed, expired, reset by a person, recreated

Guarantees, by the numbers of the design's invariants:

1. *Commit safety.* A polled batch is registered with the tracker before anything can commit, so no
   open offset lies below the committed one. What is committed is the lowest open offset, never
   "where the consumer is".
8. *Metadata is a hint.* Unknown, foreign or damaged metadata means "nothing above is settled"; it can
   never settle the committed offset itself. Empty metadata means that a person reset the group.

Everything here is pure and belongs to one partition under one epoch; nothing awaits.
"""
