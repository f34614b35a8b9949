"""The door to Kafka, through aiokafka.

    connection  where the brokers are and how to sign in: one value for all clients
    member      one member of the consumer group: polls, commits, hears of rebalances
    reader      the log by pointer, outside the group: scans, journals, dry runs
    offsets     the group's offsets with their metadata; the bounds of each log, now and at a given time
    producer    idempotent, acks=all
    topics      which topics must exist, with partitions and retention
    records     a record of aiokafka's, as the stages see it
    reset       the group's offsets, moved by hand

aiokafka's pitfalls are dealt with here and nowhere else: a poll is never cancelled, every other call
has a time limit, an exception in a rebalance callback isn't lost, and an offset that the group doesn't
know never makes the consumer jump (`auto_offset_reset="none"`).
"""
