"""Deliberate bugs in the dispatcher: the simulation catches each, or it would not catch an honest one.

A bug is put in for the length of a story; stories are told until one of them breaks a promise. `seed`
is where that was when this was written; another change may move it a few stories on.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from services.deliver.conflate import Conflation, Fix, Over
from services.deliver.outboxes import Outboxes
from services.dispatch import expiry, ownership
from services.dispatch.anew import Anew
from services.dispatch.detach import Detaching
from services.dispatch.expiry import Expiry
from services.dispatch.flow import Flow
from services.dispatch.lane import Lane
from services.dispatch.latest import Latest
from services.dispatch.lost import Lost
from services.dispatch.operations import Operations
from services.dispatch.owned import Owned
from services.dispatch.parking import Parking
from services.dispatch.starts import Starts
from services.feed import start
from services.feed.settled_map import SettledMap
from services.feed.tracker import Progress, Tracker
from services.kernel.delivery import Delivery, Settlement
from services.kernel.event import Event, Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Reason, Start
from services.kernel.operation import Operation
from services.kernel.ports.store.partitions import Floor
from services.kernel.ports.store.retries import Park, RowChange
from services.kernel.subscription import Subscription
from services.lanes.transitions import Input, State
from tests.simulation.conftest import Stories
from tests.simulation.oracle import BrokenPromiseError
from tests.simulation.scenario import Fault
from tests.support.fake_store import FakeDatabase

SEEDS = 60


class Bug(NamedTuple):
    """A method in place of another."""

    owner: type | ModuleType
    method: str
    wrong: Callable[[Callable[..., Any]], Callable[..., Any]]
    """Given the right one."""
    seed: int = 0
    """Of the story to begin with."""
    faults: tuple[Fault, ...] = ()
    """Those alone, where only they bring it to light."""


def committed_is_the_highest_read(_: Callable[..., Any]) -> Callable[..., Any]:
    def progress(self: Tracker) -> Progress:
        return Progress(self.read_pos, (), self.read_pos)

    return progress


def a_hole_is_forgotten(right: Callable[..., Any]) -> Callable[..., Any]:
    def progress(self: Tracker) -> Progress:
        found = right(self)
        return found._replace(open=found.open[:1])

    return progress


def settled_before_the_row_is_durable(right: Callable[..., Any]) -> Callable[..., Any]:
    def put(self: Parking, delivery: Delivery, change: RowChange) -> None:
        right(self, delivery, change)
        if isinstance(change, Park):
            self._settle(delivery, Settlement.PARKED)

    return put


def covered_before_the_row_is_durable(right: Callable[..., Any]) -> Callable[..., Any]:
    def detach(self: Detaching, owned: Owned, id_: SubscriptionId, reason: Reason) -> Lane:
        lane: Lane = right(self, owned, id_, reason)
        self.written(owned, [lane])
        return lane

    return detach


def the_store_takes_any_epoch(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, partition, epoch, writes=0: (  # noqa: ARG005
        epoch > 0 and partition in self.tables.partitions
    )


def attached_where_the_feed_is_not(right: Callable[..., Any]) -> Callable[..., Any]:
    def reached(self: Detaching, owned: Owned, lane: Lane) -> None:
        right(self, owned, lane)
        if lane.state is State.DRAINING and lane.attach_at is not None:
            lane.attach_at += 3

    return reached


def attached_below_what_an_earlier_epoch_settled(_: Callable[..., Any]) -> Callable[..., Any]:
    return property(lambda self: self.read_pos)  # type: ignore[return-value]


def the_feed_feeds_below_attach_at(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, offset: self.attach_at is None and offset >= 0


def the_cursor_passes_an_open_pair(right: Callable[..., Any]) -> Callable[..., Any]:
    def row(self: Lane, partition: Partition, **given: Any) -> LaneRow:  # noqa: ANN401 - as given
        found: LaneRow = right(self, partition, **given)
        found.cursor = max(found.cursor, self.position)
        found.settled = ""
        return found

    return row


def a_placeholder_is_dropped(right: Callable[..., Any]) -> Callable[..., Any]:
    def offer(self: Flow, owned: Owned, event: Event) -> None:
        states = [(lane, lane.state) for lane in owned.lanes.values()]
        for lane, state in states:
            if state is State.DETACHING and lane.attach_at is None:
                lane.state = State.DETACHED
        try:
            right(self, owned, event)
        finally:
            for lane, state in states:
                if lane.state is State.DETACHED and state is State.DETACHING:
                    lane.state = state

    return offer


def what_flies_is_not_credited(right: Callable[..., Any]) -> Callable[..., Any]:
    def taken_back(
        self: Detaching, owned: Owned, id_: SubscriptionId, lane: Lane | None
    ) -> tuple[SettledMap, dict[int, int]]:
        return right(self, owned, id_, lane)[0], {}

    return taken_back


def a_lane_is_attached_twice(right: Callable[..., Any]) -> Callable[..., Any]:
    def happens(self: Lane, given: Input) -> None:
        right(self, given)
        if given is Input.FLIP:
            self.state = State.CATCHING_UP

    return happens


def the_feed_isnt_told_that_a_part_is_its_own(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: None  # noqa: ARG005


def the_row_is_deleted_before_the_commit(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, owned, lane: (  # noqa: ARG005
        lane.state is State.DRAINING and lane.attach_at is not None
    )


def the_map_of_a_lane_is_forgotten(right: Callable[..., Any]) -> Callable[..., Any]:
    def row(self: Lane, partition: Partition, **given: Any) -> LaneRow:  # noqa: ANN401 - as given
        found: LaneRow = right(self, partition, **given)
        found.settled = ""
        return found

    return row


def a_start_is_taken_over_before_there_is_a_lane(right: Callable[..., Any]) -> Callable[..., Any]:
    def begin_at(self: Lane, given: Start | None, *, rows: Iterable[int] = ()) -> None:
        right(self, given, rows=rows)
        if given is not None:
            self.pass_to(given.offset + 2)

    return begin_at


def what_was_settled_before_more_types_is_forgotten(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, event: False  # noqa: ARG005


def a_leap_leaves_no_gap(_: Callable[..., Any]) -> Callable[..., Any]:
    async def leap(self: Starts, owned: Owned, lane: Lane, given: Start) -> None:
        pass

    return leap


def a_gap_of_a_partition_is_told_to_nobody(_: Callable[..., Any]) -> Callable[..., Any]:
    async def told_of(*_: object) -> list[Operation]:
        return []

    return told_of


def who_has_a_lane_is_not_told_what_the_feed_lost(right: Callable[..., Any]) -> Callable[..., Any]:
    def by(self: Lost, subscription: Subscription) -> Operation | None:
        found: Operation | None = right(self, subscription)
        return None if subscription.id in self._fed_from else found

    return by


def a_batch_is_given_up_with_what_is_wanted_of_it(_: Callable[..., Any]) -> Callable[..., Any]:
    def skip_below(self: FakeDatabase, begins: Start) -> None:
        for (position, id_, _), row in self.tables.retries.items():
            if (position.partition, id_) == (begins.partition, begins.subscription_id):
                row.skip = position.offset < begins.offset
                if row.skip and row.due_at is not None:
                    row.due_at = self.clock.now()

    return skip_below


def keys_are_kept_of_what_was_let_go(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *_: None


def crossed_out_before_kafka_has_it(_: Callable[..., Any]) -> Callable[..., Any]:
    async def pass_on(self: Operations) -> None:
        while self._is_ours() and (kept := await self._store.waiting(limit=100)):
            await self._store.told([each.number for each in kept])
            for each in kept:
                await self._pass_on(each)

    return pass_on


def lanes_stay_above_where_a_person_moved_the_group(_: Callable[..., Any]) -> Callable[..., Any]:
    return property(lambda _: None)  # type: ignore[return-value]


def lanes_stay_above_where_a_new_log_ends(right: Any) -> Any:  # noqa: ANN401 - a property
    return property(lambda self: right.fget(self) if self.trust_rows else None)


def a_store_that_went_back_is_trusted(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda commit: Floor(0 if commit is None else commit.offset, 0)


def who_was_replaced_goes_on_sending(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, now: False  # noqa: ARG005


def the_older_position_is_kept(right: Callable[..., Any]) -> Callable[..., Any]:
    def add(self: Conflation, key: str, fix: Fix, delivery: Delivery, *, now: float) -> Over:
        vehicle = self._vehicles.get(key)
        if vehicle is not None and vehicle.waiting is not None:
            return Over(delivery)
        found: Over = right(self, key, fix, delivery, now=now)
        return found

    return add


def the_latest_is_by_offset(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, key, fix, delivery, *, now: right(
        self, key, Fix(fix.offset, fix.offset), delivery, now=now
    )


def what_waits_is_settled(right: Callable[..., Any]) -> Callable[..., Any]:
    def hand_out(self: Latest, line: Any) -> None:  # noqa: ANN401 - private
        right(self, line)
        for vehicle in line.vehicles._vehicles.values():
            if vehicle.waiting is not None:
                self._settle(line.owned, vehicle.waiting)

    return hand_out


def what_is_superseded_stays_open(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, owned, delivery: None  # noqa: ARG005


def what_waits_is_dropped_when_its_lane_goes_on(right: Callable[..., Any]) -> Callable[..., Any]:
    def add(self: Conflation, key: str, fix: Fix, delivery: Delivery, *, now: float) -> Over:
        found: Over = right(self, key, fix, delivery, now=now)
        if fix.offset % 5 == 0:
            self.start_over({}, again=False)
        return found

    return add


def a_vehicle_has_several_out(right: Callable[..., Any]) -> Callable[..., Any]:
    def hand_out(self: Conflation, now: float, *, early: bool = False) -> Delivery | None:
        found: Delivery | None = right(self, now, early=early)
        for vehicle in self._vehicles.values():
            vehicle.out = vehicle.sent_at = None
        return found

    return hand_out


def what_is_too_old_is_dropped_though_nothing_newer_is_known(
    right: Callable[..., Any],
) -> Callable[..., Any]:
    def hand_out(self: Expiry, line: Any) -> None:  # noqa: ANN401 - private
        right(self, line)
        for waiting in line.held.values():
            line.owned.settle_all(waiting.delivery)

    return hand_out


def newer_ones_take_the_place_of_what_is_not_too_old(
    right: Callable[..., Any],
) -> Callable[..., Any]:
    return lambda event, subscription: right(event, subscription) and 0.0


def the_row_of_what_is_superseded_stays(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, delivery: self._held.pop(delivery.pair, None)


BUGS = [
    Bug(Tracker, "progress", committed_is_the_highest_read),
    Bug(Tracker, "progress", a_hole_is_forgotten),
    Bug(Parking, "_put", settled_before_the_row_is_durable, seed=14),
    Bug(Detaching, "detach", covered_before_the_row_is_durable, seed=5),
    Bug(FakeDatabase, "stands", the_store_takes_any_epoch, seed=11),
    Bug(Detaching, "reached", attached_where_the_feed_is_not),
    Bug(Tracker, "known_to", attached_below_what_an_earlier_epoch_settled, seed=82),
    Bug(Lane, "owns", the_feed_feeds_below_attach_at),
    Bug(Lane, "row", the_cursor_passes_an_open_pair),
    Bug(Flow, "_offer", a_placeholder_is_dropped, seed=128),
    Bug(Detaching, "_taken_back", what_flies_is_not_credited, seed=34),
    Bug(Lane, "happens", a_lane_is_attached_twice, seed=14),
    Bug(Lane, "_shared_out", the_feed_isnt_told_that_a_part_is_its_own),
    Bug(Detaching, "is_drained", the_row_is_deleted_before_the_commit),
    Bug(Lane, "row", the_map_of_a_lane_is_forgotten, seed=4),
    Bug(Lane, "begin_at", a_start_is_taken_over_before_there_is_a_lane, seed=10),
    Bug(Anew, "has_passed", what_was_settled_before_more_types_is_forgotten, 15, (Fault.REWIND,)),
    Bug(Starts, "_leap", a_leap_leaves_no_gap),
    Bug(ownership, "told_of", a_gap_of_a_partition_is_told_to_nobody, faults=(Fault.RESET,)),
    Bug(Lost, "by", who_has_a_lane_is_not_told_what_the_feed_lost, seed=129, faults=(Fault.RESET,)),
    Bug(Operations, "pass_on", crossed_out_before_kafka_has_it, 20, (Fault.KILL, Fault.KAFKA_DOWN)),
    Bug(
        start.Start,
        "moves_lanes_to",
        lanes_stay_above_where_a_person_moved_the_group,
        faults=(Fault.RESET,),
    ),
    Bug(
        start.Start,
        "moves_lanes_to",
        lanes_stay_above_where_a_new_log_ends,
        faults=(Fault.RECREATE,),
    ),
    Bug(start, "floor", a_store_that_went_back_is_trusted, faults=(Fault.RESTORE,)),
    Bug(Outboxes, "_is_replaced", who_was_replaced_goes_on_sending, faults=(Fault.NAP,)),
    Bug(Conflation, "add", the_older_position_is_kept),
    Bug(Conflation, "add", the_latest_is_by_offset),
    Bug(Latest, "_hand_out", what_waits_is_settled),
    Bug(Latest, "_settle", what_is_superseded_stays_open),
    Bug(Conflation, "add", what_waits_is_dropped_when_its_lane_goes_on),
    Bug(Conflation, "next", a_vehicle_has_several_out),
    Bug(Expiry, "_hand_out", what_is_too_old_is_dropped_though_nothing_newer_is_known, seed=94),
    Bug(expiry, "limit_of", newer_ones_take_the_place_of_what_is_not_too_old, seed=94),
    Bug(Parking, "supersede", the_row_of_what_is_superseded_stays),
    Bug(
        FakeDatabase,
        "_skip_below",
        a_batch_is_given_up_with_what_is_wanted_of_it,
        faults=(Fault.REWIND,),
        seed=120,
    ),
    Bug(Outboxes, "released", keys_are_kept_of_what_was_let_go, seed=100),
]


@contextmanager
def put_in(bug: Bug) -> Iterator[None]:
    right = vars(bug.owner)[bug.method]
    setattr(bug.owner, bug.method, bug.wrong(right))
    try:
        yield
    finally:
        setattr(bug.owner, bug.method, right)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.wrong.__name__)
def test_the_simulation_catches(bug: Bug, stories: Stories) -> None:
    with put_in(bug):
        for seed in range(bug.seed, bug.seed + SEEDS):
            if _breaks(stories, seed, bug.faults):
                return
    raise AssertionError(f"{SEEDS} stories told, and nothing was noticed")


def _breaks(stories: Stories, seed: int, faults: tuple[Fault, ...]) -> bool:
    """Tell the story of *seed*; return whether a promise was broken in it."""
    try:
        stories.run(seed, faults)
    except BrokenPromiseError:
        return True
    except BaseExceptionGroup as errors:
        return errors.subgroup(BrokenPromiseError) is not None
    return False
