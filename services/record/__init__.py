"""The history of attempts: from the worker that made them to rows that people search.

    flow.settle ──▶ buffer ──▶ Kafka, webhooks.attempts ──▶ consume ──▶ Postgres
                      │        many attempts per record           │       attempts, one table per day
                      └── full: lost, and counted                 └────── stats, in the same transaction

    codec    a record of the topic: versioned, compressed; read by the recorder and by the live tail
    sound    whether a record, whoever wrote it, can be stored
    consume  the recorder: from the topic into Postgres, each attempt exactly once
    buffer   the worker's side: `add` never waits and costs 2 µs; a record is written ten times a second

A delivery never waits for its log. What the buffer can't hold, because Kafka has been away for
minutes, is counted as lost; everything else is stored exactly once. Each record carries its writer's
run and sequence number, so a record written twice is stored once; and the offset to resume from is
kept in Postgres, in the transaction that stores the rows.
"""
