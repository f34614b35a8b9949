"""A partition that comes back while it is still being loaded from before."""

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

from services.dispatch.budget import Budget
from services.dispatch.owned import OwnedPartitions
from services.dispatch.ownership import Ownership
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, Commit
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.processes import run_with_processes
from tests.support.rows import EVENTS
from tests.support.virtual_time import VirtualClock


class Offsets:
    """Those of an empty log. The first answer takes its time."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._asked = 0

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        self._asked += 1
        if self._asked == 1:
            await self.first.wait()
        return dict.fromkeys(partitions)

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        return dict.fromkeys(partitions, Bounds(0, 0))


def test_a_load_that_is_late_does_not_end_the_epoch_of_the_one_after_it() -> None:
    async def story() -> tuple[int, int]:
        database, partitions, offsets = (
            FakeDatabase(clock=VirtualClock()),
            OwnedPartitions(),
            Offsets(),
        )
        ownership = an_ownership(database, partitions, offsets)
        async with asyncio.TaskGroup() as group:
            ownership.spawn = group.create_task
            await ownership.assigned([EVENTS])
            await asyncio.sleep(1)
            first = partitions.held(EVENTS)
            assert first is not None
            partitions.drop(first)
            await ownership.assigned([EVENTS])
            await asyncio.sleep(1)
            offsets.first.set()
        owned = partitions.current(EVENTS)
        assert owned is not None
        return owned.epoch, database.tables.partitions[EVENTS].epoch

    assert run_with_processes(story()) == (1, 1)


def an_ownership(
    database: FakeDatabase, partitions: OwnedPartitions, offsets: Offsets
) -> Ownership:
    async def catch_up() -> None:
        pass

    def nothing(*_: object) -> None:
        pass

    member = SimpleNamespace(share=lambda: 1.0, seek=nothing)
    return Ownership(
        worker="w0",
        membership=cast("Any", SimpleNamespace(member=member)),
        offsets=cast("Any", offsets),
        store=FakeStore(database),
        partitions=partitions,
        outboxes=cast("Any", SimpleNamespace(load_keys=nothing, set_share=nothing)),
        parking=cast("Any", None),
        budget=Budget(rows=10, bytes_=1_000),
        committer=cast("Any", None),
        cursors=cast("Any", None),
        starts=cast("Any", SimpleNamespace(begun=nothing)),
        subscriptions=cast("Any", SimpleNamespace(catch_up=catch_up)),
        clock=database.clock,
        revoke_seconds=1.0,
    )
