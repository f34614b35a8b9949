"""The broker: logs, and the group."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from services.kernel.event import Partition, Position, Record
from tests.support.fake_kafka.group import CommitWatcher, Group
from tests.support.server import Server, State, no_time


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.end = 0

    def read(self, offset: int, limit: int) -> tuple[list[Record], int]:
        """Return records from *offset* on, and where to read on: past holes, where one follows."""
        found = [record for record in self.records if record.position.offset >= offset]
        if len(found) > limit:
            return found[:limit], found[limit].position.offset
        return found, self.end

    def at(self, moment_ms: int) -> int:
        """Return the first offset at or after *moment_ms*; the end where there is none."""
        later_ones = (r.position.offset for r in self.records if r.timestamp_ms >= moment_ms)
        return next(later_ones, self.end)


class FakeKafka(Server):
    """The broker."""

    def __init__(
        self,
        topics: Mapping[str, int],
        *,
        session_timeout: float = 10.0,
        rebalance_timeout: float = 30.0,
        latency: Callable[[], float] = no_time,
        watcher: CommitWatcher | None = None,
    ) -> None:
        super().__init__(latency=latency)
        self.logs = {Partition(t, n): Log() for t, count in topics.items() for n in range(count)}
        self.group = Group(
            session_timeout=session_timeout,
            rebalance_timeout=rebalance_timeout,
            partitions=lambda asked: [p for p in self.logs if p.topic in asked],
            watcher=watcher or CommitWatcher(),
        )
        self._readers: list[asyncio.Future[None]] = []
        self.retention: timedelta | None = None
        """For how long each topic says that it keeps a record."""

    def go(self, state: State) -> None:
        """Go down, or come back as a restarted broker does."""
        was_up = self.state is State.UP
        super().go(state)
        if was_up and state is not State.UP:
            self.group.restart()
        elif state is State.UP and not was_up:
            self.group.restart()
            self._wake_readers()

    def delete_below(self, partition: Partition, offset: int) -> None:
        """Delete what lies below *offset*, as retention does."""
        log = self.logs[partition]
        log.start = max(log.start, offset)
        log.records = [record for record in log.records if record.position.offset >= log.start]

    def append(
        self,
        partition: Partition,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] = (),
        timestamp_ms: int = 0,
    ) -> Position:
        """Write one record."""
        log = self.logs[partition]
        position = Position(partition, log.end)
        log.records.append(
            Record(
                position=position,
                timestamp_ms=timestamp_ms,
                key=key,
                value=value,
                headers=list(headers),
            )
        )
        log.end += 1
        self._wake_readers()
        return position

    def skip(self, partition: Partition, count: int) -> None:
        """Use up offsets that no reader sees, as markers of transactions do."""
        self.logs[partition].end += count

    def read(
        self, positions: Mapping[Partition, int], limit: int
    ) -> dict[Partition, tuple[list[Record], int]]:
        """Return up to *limit* records from there on, of the partitions in turn."""
        found = {}
        for partition, offset in positions.items():
            records, next_offset = self.logs[partition].read(offset, limit)
            if records or next_offset > offset:  # nothing but markers: no record, but a position
                found[partition] = records, next_offset
                limit -= len(records)
            if limit <= 0:
                break
        return found

    def more(self) -> asyncio.Future[None]:
        """Return a future that is done when there is more to read."""
        found: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers.append(found)
        return found

    def _wake_readers(self) -> None:
        readers, self._readers = self._readers, []
        for reader in readers:
            if not reader.done():
                reader.set_result(None)
