"""Kafka as workers see it, without Kafka; `tests/contract` has one suite for both.

The group is eager, as aiokafka's is: whoever joins or is missed for a session time-out makes all
others let go, join again, and be assigned anew under the next generation. Members are static: a
restarted one, known by its instance, takes its partitions back without anybody noticing.

A commit is fenced by the generation *when it is sent*, not by who owns the partition, and during a
rebalance the old generation's commits are still taken: what the real one does, and what a worker has
to be careful of.
"""

from tests.support.fake_kafka.broker import FakeKafka, Log
from tests.support.fake_kafka.clients import FakeLogReader, FakeOffsets, FakeProducer
from tests.support.fake_kafka.group import CommitWatcher
from tests.support.fake_kafka.member import FakeMember

__all__ = [
    "CommitWatcher",
    "FakeKafka",
    "FakeLogReader",
    "FakeMember",
    "FakeOffsets",
    "FakeProducer",
    "Log",
]
