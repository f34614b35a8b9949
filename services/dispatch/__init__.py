"""Where the stages meet: the worker, from Kafka's records to settled offsets.

                 member.poll                outboxes.deliver             sender
    Kafka ──▶ consume ──▶ flow.deliver ──▶ one outbox per subscription ──▶ receiver
                 │           decode · match · render                          │
                 │                                                            ▼
    Kafka ◀── commit ◀── tracker.settle ◀───────────── flow.settle ◀──────  attempt
              100 ms          ▲                            │ not acknowledged
                              └── when committed ◀── parking (Postgres) ──▶ due again

The way of an event:

    flow           on one screen: out by `deliver`, back by `settle`
    consume        the one task that polls, within the window
    commit         the lowest open offset of each partition, ten times a second
    parking        failures become rows in Postgres, in batches; only then are they settled
    retries        due rows come back
    overdue        what has been in flight for too long is parked
    quarantine     a record that is no event goes to its own topic; only then is it settled

Partitions and subscriptions:

    owned          one partition under one epoch
    ownership      taking partitions and letting go of them: assign, revoke, drain
    lost           who is told that a whole partition lost a range of its log
    subscriptions  all of them in memory: loaded, notified, re-read
    changes        what a change to a subscription means for what is queued for it
    geofences      all of them in memory, for the filters that name them
    masters        geofence changes found in the log are stored; only then is the record settled

Lanes, for subscriptions that are not fed live:

    eligible       who may be fed live, who may not and why
    relief         whoever is in trouble leaves the feed, and whoever holds up a window
    detach         out of the feed and back into it: the steps that must not await
    lane           one subscription on one partition: its cursor, its state
    lanes          those of a partition: which changed, which may be read
    scan           readers outside the group feed the lanes, at most two per partition
    turns          scanners yield, so that the rest gets its share of the loop
    cursors        lanes become rows: new ones at once, those that moved once a second
    starts         a subscription begins where the API promised, or begins again elsewhere
    anew           a lane begins elsewhere, and reads past what was settled before
    batches        events of a lane become one request, when it is full or after a wait
    latest         positions wait in their lane until they are due; newer ones replace them
    expiry         positions that are too old when their turn comes; newer ones go in their place
    lines          what waits beside the outboxes, by lane: for both of these
    retention      lanes near the edge of the log: their owners are warned, they are read first
    gaps           what a subscription will not get is recorded and reported before its cursor moves
    replays        part of the log once more for one subscription, beside its live traffic

What the worker knows and says:

    trouble        who is failing, who has recovered, who failed for so long that it is disabled
    health         failures in a row, for the API to show
    operations     operational events: stored with the change they report, written in order
    counts         how many events the filters saw and let pass
    misses         which of their clauses refused an event, from a sample
    standing       how far behind the worker is, as metrics
    traced         spans, for events whose producer asked for a trace
    watchdog       ends a process whose consumer is alive but reads nothing

    limits, wake   bounds as plain values; a bell that synchronous code can ring
    worker         all of the above as tasks of one task group
    assemble       makes a worker from its `ports`; groups: the parts that are built together

Guarantees (the numbers are those of the design's invariants; 5, order by key, comes last):

1. *Commit safety.* Nothing is committed past an open offset: `Tracker`.
2. *Durable, then settled.* Parked and dead count only once Postgres has committed the row.
3. *Epochs.* Each spell of owning a partition has a number, given out by Postgres. Every delivery and
   every row change carries it. A late answer from an older epoch changes nothing but metrics, and a
   worker that slept through losing its partition can't write.
4. *Exactly one feeder.* Where there is a lane, the feed delivers only what lies at or above its
   `attach_at`, and nothing while that is unset. A flip is one step, taken where both have read up to
   the same offset.
6. *Bounded window.* A subscription in trouble leaves the feed. At half of `window_open`, so does
   whoever holds the oldest open delivery, then the next, until the count is below it. What a
   subscription leaves behind is covered as soon as Postgres has its lane, so a partition only waits
   while that row can't be written. All partitions together have at most `window_deliveries` open, a
   bound that an event with thousands of subscribers reaches first: at half of it, whoever took nothing
   lately leaves the feed. A request in flight for 2 s is written down as a retry row, within
   its subscription's budget.
7. *Repeats.* None after a graceful stop, except of requests still open when the drain time ends:
   what is partly delivered is parked, so that it isn't read again. A worker that was suspended
   (SIGSTOP, a frozen machine) for so long that its partitions may belong to another begins no request
   before the group has answered.
5. *Order by key.* `deliver.order` knows every event of a key that isn't through yet, in memory or as
   a row. `Parking` reports when a delivery becomes a row that waits for its turn, and when one is given
   up for good. `Retries` fetches a row when its turn comes, but never one ahead of the feed: what
   precedes it may still have to be read. A request begins only if it would end before the group could
   give its partition to another member (`Member.silence`).

On failure: *Postgres gone*: deliveries go on; failures are retried from memory while the window
lasts, then the partition waits. *Kafka gone*: what is in memory is finished, commits wait. *A bug*:
the task group ends the process, and the next one resumes from the committed offsets.
"""
