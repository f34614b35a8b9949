"""What the stages need from outside. Each port has a fake and a real one, held to the same tests.

    broker    Kafka: the member of the group, offsets, reading, producing
    store/    Postgres as workers use it, a module for a family of tables
    control   Postgres as the API uses it
    history   the log of attempts, and what people find in it
    network   requests to receivers
    trace     who is told of traces

A port says who calls it, what may block and what may raise.
"""
