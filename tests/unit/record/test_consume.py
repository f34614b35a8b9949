"""What a recorder reads is stored from where it stands, whatever the group does meanwhile."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from services.kernel.event import Batch, Partition
from services.kernel.ports.broker import Bounds
from services.kernel.ports.history import Written
from services.record.consume import Recorder
from tests.support.virtual_time import VirtualClock, run_virtually

ATTEMPTS = Partition("webhooks.attempts", 0)
END = 30


class Log:
    """Group, member and bounds of one partition, of which each poll brings ten offsets."""

    def __init__(self) -> None:
        self.position: int | None = None
        """None: not sought since it was assigned, so nothing of it is read."""

    async def start(self, listener: Recorder) -> None:
        await self.give(listener)

    async def give(self, listener: Recorder) -> None:
        """Take the partition away, and assign it again at once: as when another joins."""
        await listener.revoked([ATTEMPTS])
        self.position = None
        await listener.assigned([ATTEMPTS])

    def seek(self, _: Partition, offset: int) -> None:
        self.position = offset

    async def poll(self, *, wait: timedelta, **_: object) -> Mapping[Partition, Batch]:
        await asyncio.sleep(wait.total_seconds())
        if self.position is None or self.position >= END:
            return {}
        self.position += 10
        return {ATTEMPTS: Batch((), self.position)}

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        return dict.fromkeys(partitions, Bounds(0, END))

    async def commit(self, _: object) -> None: ...

    async def stop(self) -> None: ...


class Stored:
    """Postgres; the group rebalances while it takes the first batch."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.at = 0
        self.recorder: Recorder | None = None

    async def next_offset(self, _: Partition) -> int:
        return self.at

    async def store(
        self, _: Partition, records: Sequence[Written], *, before: int, after: int
    ) -> int | None:
        if before != self.at:
            return None
        self.at = after
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            await self.log.give(recorder)
        return len(records)


def test_a_partition_that_comes_back_while_its_batch_is_stored_is_read_on() -> None:
    async def story() -> int:
        log = Log()
        stored = Stored(log)
        recorder = stored.recorder = Recorder(
            make_member=lambda: cast("Any", log),
            offsets=cast("Any", log),
            store=cast("Any", stored),
            retention_days=30,
            clock=VirtualClock(),
        )
        reading = asyncio.ensure_future(recorder.run())
        await asyncio.sleep(60)
        recorder.stop()
        await reading
        return stored.at

    assert run_virtually(story()) == END
