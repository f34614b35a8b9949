"""A consumer that is alive and reads nothing is found; one that has nothing to read, or waits, is not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.watchdog import Watchdog
from services.kernel.event import Partition
from tests.support.fake_kafka import FakeKafka, FakeOffsets
from tests.support.server import State
from tests.support.virtual_time import VirtualClock, run_virtually

PARTITION = Partition("planner.events", 0)
SECONDS = 60.0
HOUR = 3600.0


class Story:
    """One partition of a worker, its log, and what the watchdog says of them."""

    def __init__(self) -> None:
        self.kafka = FakeKafka({PARTITION.topic: 1})
        self.partitions = OwnedPartitions()
        self.owned: Owned = self.partitions.add(PARTITION)
        self.owned.loaded = True
        self.polling_since: float | None = None
        self.said: list[tuple[float, str]] = []

    def read(self) -> None:
        """Take in everything there is."""
        end = self.kafka.logs[PARTITION].end
        self.owned.tracker.register([], next_offset=end)

    def append(self) -> None:
        self.kafka.append(PARTITION, b"{}")

    async def watch(self, *, during: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """Let the watchdog look for an hour, or until it says something."""
        clock = VirtualClock()
        watchdog = Watchdog(
            offsets=FakeOffsets(self.kafka),
            partitions=self.partitions,
            polling_since=lambda: self.polling_since,
            clock=clock,
            seconds=SECONDS,
            on_stuck=lambda detail: self.said.append((clock.monotonic(), detail)),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watchdog.run())]
            if during is not None:
                tasks.append(group.create_task(during()))
            await asyncio.wait(tasks[:1], timeout=HOUR)
            for task in tasks:
                task.cancel()


def test_a_partition_that_is_behind_and_does_not_move_is_stuck() -> None:
    async def story() -> None:
        it = Story()
        it.append()
        await it.watch()
        ((at, said),) = it.said
        assert SECONDS <= at <= SECONDS + 15
        assert said == "planner.events/0 is 1 behind and was not read for 60 s"

    run_virtually(story())


def test_a_poll_that_does_not_come_back_is_stuck() -> None:
    async def story() -> None:
        it = Story()
        it.polling_since = 0.0
        await it.watch()
        ((at, said),) = it.said
        assert SECONDS <= at <= SECONDS + 15
        assert said.startswith("a poll has not come back for 6")

    run_virtually(story())


def test_what_is_read_up_to_its_end_may_rest() -> None:
    async def story() -> None:
        it = Story()
        it.append()
        it.read()
        await it.watch()
        assert it.said == []

    run_virtually(story())


def test_what_keeps_moving_may_be_behind() -> None:
    async def story() -> None:
        it = Story()

        async def move() -> None:
            while True:
                it.append()
                it.append()
                it.owned.tracker.register([], next_offset=it.owned.tracker.read_pos + 1)
                await asyncio.sleep(SECONDS / 2)

        await it.watch(during=move)
        assert it.said == []

    run_virtually(story())


def test_a_partition_whose_window_is_full_waits_and_is_not_stuck() -> None:
    async def story() -> None:
        it = Story()
        it.append()
        it.owned.paused = True
        await it.watch()
        assert it.said == []

    run_virtually(story())


def test_nobody_is_stuck_while_kafka_is_gone_nor_right_after() -> None:
    async def story() -> None:
        it = Story()
        it.append()
        it.polling_since = 0.0
        it.kafka.go(State.HANGING)

        async def back() -> None:
            await asyncio.sleep(HOUR / 2)
            it.kafka.go(State.UP)

        await it.watch(during=back)
        ((at, _),) = it.said
        assert at >= HOUR / 2 + SECONDS

    run_virtually(story())
