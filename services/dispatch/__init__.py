"""Where the stages meet: the worker, from Kafka's records to settled offsets.

                 member.poll                outboxes.deliver             sender
    Kafka ──▶ consume ──▶ flow.deliver ──▶ one outbox per subscription ──▶ receiver
                 │           decode · match · render                          │
                 │                                                            ▼
    Kafka ◀── commit ◀── tracker.settle ◀───────────── flow.settle ◀──────  attempt
              100 ms          ▲                            │ not acknowledged
                              └── when committed ◀── parking (Postgres) ──▶ due again

    flow           the way of an event on one screen: out by `deliver`, back by `settle`
    owned          one owned partition under one epoch
    ownership      taking partitions and letting go of them: assign, revoke, drain
    consume        the one task that polls; keeps the window
    commit         the lowest open offset of each partition, ten times a second
    parking        failures become rows in Postgres, in batches; only then are they settled
    retries        due rows come back
    overdue        what is in flight for too long is parked
    detach         out of the feed and back into it: the steps that must not await
    lane           one subscription that isn't fed live on a partition: its cursor, its state
    starts         a subscription begins where the API promised it to, or begins anew
    passed         what a lane reads past, since it was settled before it began anew
    retention      lanes near the edge of the log: warned of, read first
    gaps           what a subscription will not get is kept and told, before its cursor moves
    batches        events of a lane become one request, full or after a wait
    latest         of what lanes read, positions wait for their time, and newer ones replace them
    cursors        lanes become rows: new ones at once, those that moved once a second
    scan           readers outside of the group feed the lanes, two at most for each partition
    subscriptions  all of them in memory: loaded, notified, re-read
    quarantine     what is no event goes to its topic; only then is it settled
    geofences      all of them in memory, for filters that name them
    masters        what the log says of geofences is stored; only then is it settled
    operations     what the service says of itself, kept with what it tells of, written in order
    counts         how many events filters saw and let pass
    misses         which of their clauses said no, of a sample
    trouble        who is failing, has recovered, or failed for so long that it is switched off
    health         failures in a row, for the API to show
    replays        part of the log once more for one subscription, beside what is live
    watchdog       a consumer that is alive and reads nothing ends the process
    changes        a subscription changed: what that means for what is queued for it
    turns          scanners give way, so that others have their share of the loop
    standing       how far behind the worker is, as metrics; traced, as spans where somebody asked
    limits, wake   bounds as plain values; a bell that plain code rings
    worker         all of the above as tasks of one group; assemble makes one from its ports

Guarantees, by the numbers of the invariants in the design:

1. Nothing is committed past an open offset: `Tracker`.
2. *Durable, then settled.* Parked and dead count only when Postgres has committed the row.
3. *Epochs.* Each spell of owning a partition has a number that Postgres gives out. Every delivery
   and every row change carries it; a late answer of an older one moves nothing but metrics, and a
   worker that slept through the loss of its partition can write nothing.
4. *Exactly one feeder.* Where there is a lane the feed delivers what lies at or above `attach_at`,
   nothing while that is open. A flip is one step, where both have read to the same offset.
6. *Bounded window.* Whoever is in trouble leaves the feed; at half of `window_open` whoever has the
   oldest open delivery does, and the next, until it is below. What a subscription leaves behind is
   covered as soon as Postgres has its lane: a partition waits only while that can't be written. What
   is in flight for 2 s is written down as a retry row, within the budget of its subscription.
7. *Repeats.* None after a graceful stop but of requests still open when the drain time ends: what
   is partly delivered is parked, so that it isn't read again. Who was stopped (SIGSTOP, a frozen
   machine) for so long that its partitions may be another's begins no request before the group has
   answered.

Order by key (5): what is of one key and not through is known to `deliver.order`, whether it is in
memory or a row. `Parking` says when a delivery becomes a row that waits for its turn and when one is
given up for good; `Retries` fetches a row when its turn comes, and none that the feed has not come to
yet: what precedes it may still have to be read. A request begins only while the group can't give its
partition to another before the request has ended (`Member.silence`).

On failure: *Postgres gone*: deliveries go on; failures are tried again from memory while the window
lasts, then the partition waits. *Kafka gone*: what is in memory is finished, commits wait. *A bug*:
the task group ends the process, and the next one goes on from the committed offsets.
"""
