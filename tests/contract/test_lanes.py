"""What workers rely on of lanes in Postgres; the store of the simulation is held to the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from services.kernel.clock import rfc3339
from services.kernel.delivery import Delivery, Member
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import (
    Drop,
    Keep,
    LaneGap,
    LaneGapReason,
    LaneRow,
    Reason,
    Start,
    StartKind,
)
from services.kernel.operation import About, Operation
from services.kernel.operation import gap as gap_operation
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.ports.store.operations import OperationStore
from services.kernel.ports.store.partitions import Assignment, Floor
from services.kernel.ports.store.retries import Bury, Park
from services.store.lanes import PostgresLanes
from services.store.operations import PostgresOperations
from services.store.registrations import PostgresRegistrations
from tests.contract.test_store import Store, a_fake, a_real
from tests.support.fake_store import FakeStore
from tests.support.rows import (
    EVENTS,
    NOW,
    PROJECT,
    a_cipher,
    a_delivery,
    a_pool,
    a_project,
    after,
    an_id,
)

OTHER = Partition("planner.events", 1)


@dataclass
class Lanes:
    """One of the two stores, with its lanes."""

    store: Store
    lanes: LaneStore
    operations: OperationStore
    promise: Callable[[SubscriptionId, Sequence[Start]], Awaitable[None]]
    """What the API does: more types from there on, or a rewind."""

    async def told(self) -> list[Operation]:
        """Return what is told, in order."""
        return [kept.operation for kept in await self.operations.waiting(limit=100)]

    async def assigned(self, at: int = 0, partition: Partition = EVENTS) -> Assignment:
        return await self.store.assigned(partition, Floor(at, 0))

    async def rows(self) -> list[LaneRow]:
        return list((await self.assigned()).lanes)


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[Lanes]:
    if dsn is None:
        found = a_fake()
        client = cast(FakeStore, found.partitions)
        database = client._database

        async def promise(id_: SubscriptionId, starts: Sequence[Start]) -> None:
            before = database.tables.subscriptions[id_]
            changed = replace(before, version=before.version + 1, epoch=before.epoch + 1)
            database.subscribe(changed, starts=starts)

        yield Lanes(found, client, client, promise)
        return
    async with a_pool(dsn) as pool:
        await a_project(pool)
        registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())

        async def promise_for_real(id_: SubscriptionId, starts: Sequence[Start]) -> None:
            before = await registrations.get(id_)
            assert before is not None
            assert await registrations.replace(before, version=before.version, starts=starts)

        yield Lanes(
            a_real(pool),
            PostgresLanes(pool=pool),
            PostgresOperations(pool=pool),
            promise_for_real,
        )


def a_row(id_: SubscriptionId, *, cursor: int = 5, **fields: object) -> LaneRow:
    return LaneRow(
        **{
            "partition": EVENTS,
            "subscription_id": id_,
            "cursor": cursor,
            "settled": "v1|1|5|d|AgA=",
            "state": "detached",
            "reason": Reason.SLOW,
            "since": NOW,
            "cursor_at": NOW,
            "speed": 1.5,
            "replay_below": 9,
            **fields,
        }
    )


def a_start(
    id_: SubscriptionId, offset: int, kind: StartKind = StartKind.TYPES, *, epoch: int = 1
) -> Start:
    return Start(partition=EVENTS, subscription_id=id_, offset=offset, kind=kind, epoch=epoch)


async def test_a_lane_is_found_by_the_next_owner_as_it_was_written(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    row = a_row(id_, attach_at=9, flips=3)
    assert await store.lanes.change([Keep(epoch, a_row(id_))]) == {EVENTS: 1}
    assert await store.lanes.change([Keep(epoch, row)]) == {EVENTS: 2}
    assert await store.rows() == [row]


async def test_a_lane_of_an_epoch_that_is_over_is_not_written(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    old = (await store.assigned()).epoch
    new = (await store.assigned()).epoch
    assert await store.lanes.change([Keep(new, a_row(id_))]) == {EVENTS: 1}
    assert await store.lanes.change([Keep(old, a_row(id_, cursor=9))]) == {}
    assert await store.lanes.change([Drop(old, EVENTS, id_)]) == {}
    assert await store.rows() == [a_row(id_)]


async def test_what_stands_is_written_though_another_partition_is_refused(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    other = a_row(id_, partition=OTHER)
    await store.assigned(partition=OTHER)
    writes = await store.lanes.change([Keep(99, other), Keep(epoch, a_row(id_))])
    assert writes == {EVENTS: 1}
    assert await store.rows() == [a_row(id_)]


async def test_a_dropped_lane_is_gone_and_dropping_it_twice_is_fine(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    await store.lanes.change([Keep(epoch, a_row(id_))])
    for writes in (2, 3):
        assert await store.lanes.change([Drop(epoch, EVENTS, id_)]) == {EVENTS: writes}
    assert await store.rows() == []


async def test_a_deleted_subscription_has_no_lanes_and_gets_none(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    await store.lanes.change([Keep(epoch, a_row(id_))])
    await store.promise(id_, [a_start(id_, 3)])
    await store.store.unsubscribe(id_)
    assert await store.lanes.change([Keep(epoch, a_row(id_))]) == {EVENTS: 2}
    found = await store.assigned()
    assert (list(found.lanes), list(found.starts)) == ([], [])


async def test_a_promise_is_found_by_the_owner_and_by_the_next_one(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    await store.promise(id_, [a_start(id_, 7)])
    assert await store.lanes.starts([EVENTS, OTHER], [id_]) == [a_start(id_, 7)]
    assert await store.lanes.starts([OTHER], [id_]) == []
    assert list((await store.assigned()).starts) == [a_start(id_, 7)]


async def test_a_promise_is_taken_over_with_the_lane_or_not_at_all(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    old = (await store.assigned()).epoch
    epoch = (await store.assigned()).epoch
    await store.promise(id_, [a_start(id_, 7)])
    await store.lanes.change([Keep(epoch, a_row(id_))])
    await store.lanes.change([Keep(old, a_row(id_, cursor=7), takes_start=1)])
    assert await store.lanes.starts([EVENTS], [id_]) == [a_start(id_, 7)]
    await store.lanes.change([Keep(epoch, a_row(id_, cursor=7), takes_start=1)])
    assert await store.lanes.starts([EVENTS], [id_]) == []
    await store.promise(id_, [a_start(id_, 8)])
    await store.lanes.change([Keep(epoch, a_row(id_, cursor=7), takes_start=1)])
    assert await store.lanes.starts([EVENTS], [id_]) == [a_start(id_, 8, epoch=2)]  # a later one
    await store.lanes.change([Drop(epoch, EVENTS, id_, takes_start=2)])
    assert await store.lanes.starts([EVENTS], [id_]) == []


async def test_more_types_are_in_an_earlier_promise_and_a_rewind_replaces_it(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    await store.promise(id_, [a_start(id_, 7, StartKind.NEW)])
    await store.promise(id_, [a_start(id_, 9)])
    assert await store.lanes.starts([EVENTS], [id_]) == [a_start(id_, 7, StartKind.NEW, epoch=2)]
    rewind = a_start(id_, 12, StartKind.REWIND, epoch=3)
    await store.promise(id_, [rewind])
    assert await store.lanes.starts([EVENTS], [id_]) == [replace(rewind, since=7)]


async def test_a_promise_makes_the_subscription_begin_another_epoch(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    (before,) = await store.store.source.load([id_])
    await store.promise(id_, [a_start(id_, 7)])
    (after_,) = await store.store.source.load([id_])
    assert after_.epoch == before.epoch + 1


async def test_rows_are_loaded_from_where_the_lane_of_their_subscription_is(store: Lanes) -> None:
    behind, ahead = await store.store.subscribe(), await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    changes = [
        change
        for id_ in (behind, ahead)
        for change in (
            Park(a_delivery(id_, offset=3, epoch=epoch), NOW, None),
            Park(a_delivery(id_, offset=6, epoch=epoch), NOW, None),
            Bury(a_delivery(id_, offset=7, epoch=epoch), "exhausted", None),
        )
    ]
    await store.store.retries.write(changes)
    await store.lanes.change([Keep(epoch, a_row(behind, cursor=5))])
    await store.promise(ahead, [a_start(ahead, 7)])
    found = await store.assigned(at=8)
    settled = sorted((row.subscription_id, row.offset) for row in found.settled)
    assert settled == sorted([(behind, 6), (behind, 7), (ahead, 7)])


async def test_a_gap_grows_while_retention_goes_on_and_is_another_after_a_delivery(
    store: Lanes,
) -> None:
    id_ = await store.store.subscribe()
    gap = LaneGap(partition=EVENTS, subscription_id=id_, from_offset=3, to_offset=5, at=NOW)
    right_after = replace(gap, from_offset=5, to_offset=9, at=after(5))
    after_a_delivery = replace(gap, from_offset=10, to_offset=12, at=after(9))
    assert await store.lanes.keep_gap(gap, from_time=NOW)
    await store.lanes.told_gap(gap)
    assert not await store.lanes.keep_gap(right_after, from_time=NOW)
    assert await store.lanes.keep_gap(after_a_delivery, from_time=NOW)
    still_on = replace(gap, from_offset=12, to_offset=13, at=after(9))
    assert await store.lanes.keep_gap(still_on, from_time=NOW)  # whoever kept it may not have told
    await store.lanes.told_gap(still_on)
    assert not await store.lanes.keep_gap(still_on, from_time=NOW)


async def test_lanes_above_where_a_person_moved_the_group_to_go_back_with_it(store: Lanes) -> None:
    ids = [await store.store.subscribe() for _ in range(6)]
    above, across, at, below, young, younger = ids
    old = (await store.assigned()).epoch
    epoch = (await store.assigned()).epoch
    rows = [
        a_row(above, cursor=9),
        a_row(across, cursor=4, attach_at=8),
        a_row(at, cursor=6, attach_at=6),
        a_row(below, cursor=3),
        a_row(young, cursor=9),
        a_row(younger, cursor=9),
    ]
    await store.lanes.change([Keep(epoch, row) for row in rows])
    await store.store.partitions.move_lanes_back(EVENTS, epoch=old, offset=1, begins={})
    await store.store.partitions.move_lanes_back(OTHER, epoch=epoch, offset=1, begins={})
    begins = {below: 5, young: 7, younger: 10}
    await store.store.partitions.move_lanes_back(EVENTS, epoch=epoch, offset=6, begins=begins)
    found = {row.subscription_id: row for row in await store.rows()}
    assert [(found[id_].cursor, found[id_].settled, found[id_].attach_at) for id_ in ids] == [
        (6, "", None),
        (4, "", None),
        (6, rows[2].settled, 6),
        (3, rows[3].settled, None),
        (7, "", None),
        (9, rows[5].settled, None),
    ]


async def test_that_a_gap_is_over_is_told_once_with_all_of_it_when_its_lane_has_passed_it(
    store: Lanes,
) -> None:
    id_, other = await store.store.subscribe(), await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    gap = LaneGap(partition=EVENTS, subscription_id=id_, from_offset=3, to_offset=5, at=NOW)
    await store.lanes.keep_gap(gap, from_time=after(-9))
    await store.lanes.change([Keep(epoch, a_row(id_)), Keep(epoch, a_row(other, cursor=20))])
    await store.lanes.keep_gap(replace(gap, from_offset=5, to_offset=9), from_time=after(-7))
    assert await store.told() == []  # still at its edge
    passed = a_row(id_, cursor=11, cursor_at=after(-5))
    for _ in range(2):
        await store.lanes.change([Keep(epoch, passed)])
    (over,) = await store.told()
    assert (over.type, over.subscription_id) == ("webhook.gap", id_)
    assert over.data == {
        "topic": EVENTS.topic,
        "partition": EVENTS.number,
        "from_offset": 3,
        "to_offset": 9,
        "from_time": rfc3339(after(-9)),
        "to_time": rfc3339(after(-5)),
        "reason": "retention",
    }
    await store.lanes.keep_gap(replace(gap, from_offset=11, to_offset=12), from_time=NOW)
    await store.lanes.change([Drop(epoch, EVENTS, id_)])
    assert [told.data["to_offset"] for told in await store.told()] == [9, 12]


async def test_a_gap_of_a_partition_is_told_to_all_who_lost_something(store: Lanes) -> None:
    about = [About(project_id=PROJECT, subscription_id=an_id()) for _ in range(2)]
    told = [
        gap_operation(
            each,
            EVENTS,
            from_offset=5,
            to_offset=9,
            from_time=None,
            to_time=None,
            reason="recreated",
        )
        for each in about
    ]
    for operations in (told, []):
        await store.store.partitions.record_gap(
            EVENTS, from_offset=5, to_offset=9, reason="recreated", at=NOW, operations=operations
        )
    assert await store.told() == told


async def test_a_rewind_says_where_a_promise_began_that_nobody_has_taken_over(
    store: Lanes,
) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch

    async def promised() -> list[tuple[int, int | None]]:
        found = await store.lanes.starts([EVENTS], [id_])
        return [(start.offset, start.since) for start in found]

    await store.promise(id_, [a_start(id_, 4, StartKind.REWIND)])
    assert await promised() == [(4, None)]
    await store.promise(id_, [a_start(id_, 9, StartKind.REWIND)])
    assert await promised() == [(9, 4)]
    await store.promise(id_, [a_start(id_, 7, StartKind.REWIND)])
    assert await promised() == [(7, 4)]
    await store.lanes.change([Keep(epoch, a_row(id_), takes_start=1)])
    assert await promised() == [(7, None)]


async def test_a_rewind_says_where_types_were_promised_from_that_nobody_has_taken_over(
    store: Lanes,
) -> None:
    id_ = await store.store.subscribe()
    await store.promise(id_, [a_start(id_, 4, StartKind.TYPES)])
    await store.promise(id_, [a_start(id_, 9, StartKind.REWIND)])
    (start,) = await store.lanes.starts([EVENTS], [id_])
    assert (start.offset, start.since) == (9, 4), "what came of them in between is left out"


async def test_what_a_person_leaps_over_is_kept_once_and_told_once(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    reason = LaneGapReason.SKIPPED
    gap = LaneGap(
        partition=EVENTS, subscription_id=id_, from_offset=3, to_offset=5, reason=reason, at=NOW
    )
    assert await store.lanes.keep_gap(gap, from_time=NOW)
    assert await store.lanes.keep_gap(replace(gap, from_offset=4), from_time=NOW)
    await store.lanes.told_gap(gap)
    assert not await store.lanes.keep_gap(gap, from_time=NOW)
    assert await store.lanes.keep_gap(replace(gap, from_offset=7, to_offset=9), from_time=NOW)


async def test_a_rewind_gives_up_what_waits_from_before_and_leaves_the_rest(store: Lanes) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    later = datetime.now(UTC) + timedelta(days=1)
    await store.store.retries.write(
        [Park(a_delivery(id_, offset=offset, epoch=epoch), later, None) for offset in (3, 6)]
    )
    await store.promise(id_, [a_start(id_, 5)])
    assert await due(store, epoch) == []
    await store.promise(id_, [a_start(id_, 5, StartKind.REWIND)])
    assert [(d.position.offset, d.skip) for d in await due(store, epoch)] == [(3, True)]
    rows = await store.lanes.rows([EVENTS], [id_])
    assert sorted((position.offset, of) for position, of in rows) == [(6, id_)]


async def test_what_a_leap_gave_up_is_wanted_again_when_a_person_goes_back_before_it_is_buried(
    store: Lanes,
) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    later = datetime.now(UTC) + timedelta(days=1)
    await store.store.retries.write(
        [Park(a_delivery(id_, offset=offset, epoch=epoch), later, None) for offset in (3, 6)]
    )
    await store.promise(id_, [a_start(id_, 9, StartKind.REWIND)])
    await store.promise(id_, [a_start(id_, 5, StartKind.REWIND)])
    found = [(d.position.offset, d.skip) for d in await due(store, epoch)]
    assert sorted(found) == [(3, True), (6, False)]
    assert await offsets_with_a_row(store, id_) == [6]


async def test_the_row_of_a_batch_stands_for_each_event_unless_a_rewind_gave_all_of_it_up(
    store: Lanes,
) -> None:
    id_ = await store.store.subscribe()
    epoch = (await store.assigned()).epoch
    batches = [
        a_delivery(
            id_,
            offset=offsets[0],
            epoch=epoch,
            body=b"[{},{}]",
            members=tuple(Member(offset, 2) for offset in offsets),
        )
        for offsets in ((1, 2), (3, 7), (6, 9))
    ]
    later = datetime.now(UTC) + timedelta(days=1)
    await store.store.retries.write([Park(batch, later, None) for batch in batches])
    assert await offsets_with_a_row(store, id_) == [1, 2, 3, 6, 7, 9]
    await store.promise(id_, [a_start(id_, 5, StartKind.REWIND)])
    assert await offsets_with_a_row(store, id_) == [3, 6, 7, 9]
    # What is given up is buried with all of its events: those from 5 on must not be among them.
    assert [(d.position.offset, d.skip) for d in await due(store, epoch)] == [(1, True)]


async def offsets_with_a_row(store: Lanes, id_: SubscriptionId) -> list[int]:
    return sorted(position.offset for position, _ in await store.lanes.rows([EVENTS], [id_]))


async def due(store: Lanes, epoch: int) -> Sequence[Delivery]:
    now = datetime.now(UTC) + timedelta(minutes=1)  # Postgres has a clock of its own
    return await store.store.retries.due({EVENTS: epoch}, now=now, limit=9, skip=(), busy=())


async def test_what_changed_lately_is_known_though_word_of_it_was_lost(store: Lanes) -> None:
    made, deleted = await store.store.subscribe(), await store.store.subscribe()
    await store.store.unsubscribe(deleted)
    assert set(await store.store.source.changed_within(1e9)) >= {made, deleted}
    assert not await store.store.source.changed_within(-1.0)
