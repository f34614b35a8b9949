"""What the stages need from outside. Each port has a fake and a real one, held to the same tests.

broker   Kafka: the member of the group, offsets, producing
store    Postgres as workers use it: partitions, retries, dead letters, subscriptions, health
network  requests to receivers
history  the log of attempts
"""
