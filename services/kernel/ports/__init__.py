"""What the stages need from outside. Each port has a fake and a real one, held to the same tests.

    broker    Kafka: the member of the group, offsets, reading, producing
    store/    Postgres as workers use it, one module per family of tables
    control   Postgres as the API uses it
    history   the log of attempts, and what people find in it
    network   requests to receivers
    trace     who records spans

A port says who calls it, what may block and what may raise.
"""
