"""Kafka, as the stages see it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, Protocol

from services.kernel.event import Batch, Partition, Position


class Commit(NamedTuple):
    """What is, or was, committed for a partition."""

    offset: int
    metadata: str
    """Ours is never empty: an empty one means that a person reset the group."""


class Bounds(NamedTuple):
    """What the log of a partition holds now, to a reader of committed records."""

    start: int
    end: int


class MemberListener(Protocol):
    """What a member tells its owner. Both calls hold up the rebalance, so both are bounded."""

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Let go of *partitions*: drain, park, commit; return within the rebalance time-out."""

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """Take *partitions*. Their records may arrive before this returns; drop them until sought."""


class Member(Protocol):
    """One member of the consumer group. `poll` is called by one task alone."""

    async def start(self, listener: MemberListener) -> None:
        """Join. Raises BrokerGoneError after the time limit for starting."""

    async def poll(self, *, limit: int, wait: timedelta) -> Mapping[Partition, Batch]:
        """Return what has arrived, maybe nothing. A rebalance can outlast *wait*. Never cancel it.

        Raises MembershipLostError when this consumer is beyond repair: drain, make a new one.
        """

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        """Commit within the time limit or raise CommitRefusedError or BrokerGoneError.

        The caller has just checked its epochs; a refused commit is never repeated.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read *partition* from *offset* on. Nothing is read of it before the first seek."""

    def silence(self) -> float:
        """Return for how many seconds at most the group hasn't heard of this member."""

    def share(self) -> float:
        """Return which part of all partitions of its topics this member has, 0 to 1."""

    def pause(self, partitions: Collection[Partition]) -> None:
        """Fetch no more of *partitions*. Throws away what was prefetched: use with hysteresis."""

    def resume(self, partitions: Collection[Partition]) -> None:
        """Fetch *partitions* again from where they were paused."""

    async def stop(self) -> None:
        """Close, bounded in time. Calls no listener: drain and commit first."""


class Offsets(Protocol):
    """Offsets and bounds, asked for outside of the poll."""

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        """Return the group's offsets with their metadata; None where there is none."""

    async def partitions(self, topics: Collection[str]) -> Sequence[Partition]:
        """Return the partitions of those of *topics* that exist."""

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        """Return start and end of each partition, `read_committed`."""

    async def retention(self, topics: Collection[str]) -> Mapping[str, timedelta | None]:
        """Return for how long each topic keeps a record; None: for ever, or we may not know."""

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        """Return the first offset whose record has a timestamp at or above *moment_ms*.

        Unix milliseconds. Where there is none, the end of the log, as `bounds` gives it.
        """


class LogReader(Protocol):
    """Reads partitions of the log by pointer, outside of any group: journals, scans, dry runs.

    One task alone uses it. Each call names where it reads, and nothing is remembered between them but
    what was fetched ahead: reading on where the last call ended costs no new request.
    """

    async def read(
        self, positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        """Return up to *limit* records from these offsets on, of some partitions; maybe nothing.

        A batch's `next_offset` is where to go on, also past markers and holes. Returns at the latest
        when *wait* is over. Safe to cancel. Raises OutOfLogError where an offset is no longer, or not
        yet, in the log, and BrokerGoneError; the next call tries again.
        """

    async def stop(self) -> None:
        """Close, bounded in time."""


class Producer(Protocol):
    """Writes records; idempotent, acks=all."""

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int | None = None,
    ) -> Position:
        """Write one record and return where it is, once all replicas in sync have it.

        By its key where no *partition* is given.

        Raises BrokerGoneError when that isn't known within the time limit, and BrokerRefusedError
        when the record is too large.
        """
