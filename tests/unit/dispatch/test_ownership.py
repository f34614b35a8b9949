"""A partition that comes back while it is still being loaded from before, or has lost some of its log."""

import asyncio
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

from services.dispatch.budget import Budget
from services.dispatch.owned import OwnedPartitions
from services.dispatch.ownership import Ownership
from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Keep, LaneRow, Reason
from services.kernel.ports.broker import Bounds, Commit
from services.kernel.ports.store.partitions import Floor
from services.kernel.subscription import Subscription
from tests.support.factories import a_subscription
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.fake_store.tables import GapRow
from tests.support.processes import run_with_processes
from tests.support.rows import EVENTS, NOW, a_stand
from tests.support.virtual_time import VirtualClock

OLD, YOUNG = 1_000, 2_000


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


class MovedBack:
    """Those of a log that a person has moved the group to the beginning of."""

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        return dict.fromkeys(partitions, Commit(0, ""))

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        return dict.fromkeys(partitions, Bounds(0, 30))

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        return dict.fromkeys(partitions, {OLD: 0, YOUNG: 12}[moment_ms])


def test_with_the_group_moved_back_a_lane_goes_no_further_than_to_where_its_subscription_began() -> (
    None
):
    old, young = (
        a_subscription(id_=f"{n:024x}", begins_ms=at) for n, at in enumerate([OLD, YOUNG])
    )

    async def story() -> tuple[list[int], list[int]]:
        database = FakeDatabase(clock=VirtualClock())
        store, partitions = FakeStore(database), OwnedPartitions()
        for each in (old, young):
            database.subscribe(each)
        assigned = await store.assign({EVENTS: Floor(0, 0)}, worker="w0")
        epoch = assigned[EVENTS].epoch
        await store.report_stands({EVENTS: a_stand(epoch, 20)})
        await store.change([Keep(epoch, a_paused_lane(each.id)) for each in (old, young)])
        ownership = an_ownership(database, partitions, MovedBack(), known=(old, young))
        async with asyncio.TaskGroup() as group:
            ownership.spawn = group.create_task
            await ownership.assigned([EVENTS])
        owned = partitions.current(EVENTS)
        assert owned is not None
        rows = database.tables.lanes
        return (
            [owned.lanes[each.id].tracker.lowest for each in (old, young)],
            [rows[EVENTS, each.id].cursor for each in (old, young)],
        )

    assert run_with_processes(story()) == ([0, 12], [0, 12])


class MadeAnew:
    """Those of a log that ends below where the group was."""

    async def committed(
        self, partitions: Collection[Partition]
    ) -> Mapping[Partition, Commit | None]:
        return dict.fromkeys(partitions, Commit(20, ""))

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, Bounds]:
        return dict.fromkeys(partitions, Bounds(0, 3))

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        assert moment_ms == OLD
        return dict.fromkeys(partitions, 0)


class GoneAtFirst(FakeStore):
    """Doesn't answer the first time that lanes are moved."""

    was_gone = False

    async def move_lanes_back(self, *given: Any, **named: Any) -> None:  # noqa: ANN401 - as it is
        if not self.was_gone:
            self.was_gone = True
            raise StoreGoneError("gone")
        await super().move_lanes_back(*given, **named)


def test_a_gap_of_a_partition_is_recorded_and_told_once_though_it_has_to_be_loaded_again() -> None:
    known = [a_subscription("*", id_=f"{n:024x}", begins_ms=OLD) for n in range(2)]

    async def story() -> FakeDatabase:
        database, partitions = FakeDatabase(clock=VirtualClock()), OwnedPartitions()
        for each in known:
            database.subscribe(each)
        store = GoneAtFirst(database)
        offsets = MadeAnew()
        ownership = an_ownership(database, partitions, offsets, known=known, store=store)
        async with asyncio.TaskGroup() as group:
            ownership.spawn = group.create_task
            await ownership.assigned([EVENTS])
        assert partitions.current(EVENTS) is not None
        assert store.was_gone
        return database

    tables = run_with_processes(story()).tables
    (gap,) = tables.gaps
    assert (gap.from_offset, gap.to_offset, gap.reason) == (0, 3, "recreated")
    told = [(kept.operation.type, kept.operation.subscription_id) for kept in tables.operations]
    assert told == [("webhook.gap", each.id) for each in known]


def test_nothing_is_taken_in_before_its_gap_is_recorded() -> None:
    async def story() -> tuple[bool, list[GapRow]]:
        database, partitions = FakeDatabase(clock=VirtualClock()), OwnedPartitions()

        class Refusing(FakeStore):
            async def record_gap(self, *_: Any, **__: Any) -> None:  # noqa: ANN401 - as it is
                raise StoreGoneError("gone")

        store = Refusing(database)
        ownership = an_ownership(database, partitions, MadeAnew(), store=store)
        async with asyncio.TaskGroup() as group:
            ownership.spawn = group.create_task
            await ownership.assigned([EVENTS])
            await asyncio.sleep(10)
            is_loaded = partitions.current(EVENTS) is not None
            ownership.abandon()  # ends the trying
        return is_loaded, database.tables.gaps

    assert run_with_processes(story()) == (False, [])


def a_paused_lane(id_: SubscriptionId) -> LaneRow:
    return LaneRow(
        partition=EVENTS,
        subscription_id=id_,
        cursor=20,
        state="detached",
        reason=Reason.PAUSED,
        since=NOW,
        cursor_at=NOW,
    )


def an_ownership(
    database: FakeDatabase,
    partitions: OwnedPartitions,
    offsets: Offsets | MovedBack | MadeAnew,
    *,
    known: Collection[Subscription] = (),
    store: FakeStore | None = None,
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
        store=store or FakeStore(database),
        partitions=partitions,
        outboxes=cast(
            "Any", SimpleNamespace(load_keys=nothing, set_share=nothing, withdraw=nothing)
        ),
        parking=cast("Any", SimpleNamespace(release=nothing)),
        budget=Budget(rows=10, bytes_=1_000),
        committer=cast("Any", None),
        cursors=cast("Any", None),
        starts=cast("Any", SimpleNamespace(begun=nothing)),
        subscriptions=cast(
            "Any",
            SimpleNamespace(
                catch_up=catch_up, get={each.id: each for each in known}.get, all=lambda: known
            ),
        ),
        clock=database.clock,
        revoke_seconds=1.0,
    )
