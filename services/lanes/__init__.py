"""Who is behind, where, and what comes next. Pure: every decision is a plain function or a value.

    transitions  the states of a subscription on a partition, and what leads from one to the next
    scan         which lanes are read together, and where the next scan starts
    budget       how much of the event loop scanners may take
    outage       is nobody reachable at all? Then the fault is ours, and nobody is detached for it
    edge         how close a lane is to the end of the log's retention
    rest         how long a subscription that keeps coming and going stays detached

A *lane* is a subscription that has left the feed of a partition: a cursor of its own, one row in
Postgres. What awaits, reads and writes is in `dispatch` (detach, scan, cursors), which asks here.

            trouble · pause · new        row durable          may be read           at the feed's
    attached ───────────────▶ detaching ─────────▶ detached ─────────▶ catching up ─────────┐
       ▲                          ▲  what the feed     ▲    must rest      │                │ position:
       │                          │  reads meanwhile   └───────────────────┘                │ flip, in
       │                          │  waits as a placeholder                                 │ one step
       │                          └────────────── trouble again ──────── draining (H) ◀─────┘
       └─────────────────────────────────────────────────────────────────────┘
                     everything below H settled, and H committed: the row is deleted
"""
