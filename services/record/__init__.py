"""The history of attempts: from the worker that made them to rows that people search.

    flow.settle ──▶ buffer ──▶ Kafka, webhooks.attempts ──▶ consume ──▶ Postgres
                      │         many attempts a record          │         attempts, one table a day
                      └── lost, counted, where it is full       └──────── stats, in the same transaction

    codec    a record of the topic: versioned, compressed; read by the recorder and by the live tail
    sound    whether what anybody wrote there can be stored
    consume  the recorder: from the topic into Postgres, each attempt once
    buffer   the worker's side: `add` never waits and costs 2 µs; a record ten times a second

A delivery never waits for its log. What the buffer can't hold, because Kafka is away for minutes, is
counted as lost; everything else is stored exactly once. Each record has its writer's run and number,
so one that was written twice is stored once; and where reading goes on stands in Postgres, in the
transaction that stores the rows.
"""
