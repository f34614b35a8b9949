"""The door to Kafka, through aiokafka.

    connection  where the brokers are and how to sign in: one value for all clients
    member      one member of the consumer group: polls, commits, is told of rebalances
    reader      the log by pointer, outside of the group: scans, journals, dry runs
    offsets     the group's offsets with their metadata; where each log starts and ends, and stood when
    producer    idempotent, acks=all
    topics      what must exist, with partitions and retention
    records     what aiokafka read, as the stages see it
    reset       the group's offsets, moved by hand

What aiokafka does to its callers is dealt with here and nowhere else: a poll is never cancelled,
every other call has a time limit, an exception in a rebalance callback isn't lost, and what the
group doesn't know is never jumped over (`auto_offset_reset="none"`).
"""
