"""A lane takes what its receiver takes: it isn't looked at, nor the log read, while it has no room."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from services.dispatch.lane import MAX_BYTES, MAX_ENTRIES, PROBES, Lane, Scan
from services.dispatch.lanes import Lanes
from services.feed.settled_map import SettledMap
from services.kernel.delivery import Member
from services.kernel.event import Batch, Partition, Position, Record
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.lanes.transitions import Input, State
from services.match.index import Match
from tests.support.factories import a_subscription

ID = SubscriptionId("5e208446c97efa37d4830b01")
NOW = datetime(2026, 1, 5, tzinfo=UTC)
PARTITION = Partition("planner.events", 0)


def a_lane(*, flying: dict[int, int] | None = None) -> Lane:
    known = SettledMap(-1, 0, frozenset())
    return Lane(ID, known=known, reason=Reason.BREAKER_OPEN, since=NOW, flying=flying)


def a_full_lane(*, most: int = MAX_ENTRIES, size: int = 10) -> Lane:
    lane = a_lane()
    lane.most = most
    for offset in range(most):
        lane.take(offset, size)
    assert lane.is_full
    lane.fall_off(most)
    return lane


def test_a_lane_that_fell_off_sleeps_until_half_of_its_room_is_free() -> None:
    lane = a_full_lane()
    for offset in range(MAX_ENTRIES // 2 - 1):
        lane.settle(offset, 10)
    assert lane.asleep
    lane.settle(MAX_ENTRIES // 2 - 1, 10)
    assert not lane.asleep


def test_a_probe_that_succeeds_wakes_it() -> None:
    lane = a_full_lane(most=PROBES)
    lane.settle(0, 10)
    assert not lane.asleep


def test_bytes_keep_it_asleep_as_well() -> None:
    lane = a_full_lane(size=MAX_BYTES // 100)
    for offset in range(MAX_ENTRIES // 2):
        lane.settle(offset, MAX_BYTES // 100)
    assert lane.asleep
    for offset in range(MAX_ENTRIES // 2, MAX_ENTRIES):
        lane.settle(offset, MAX_BYTES // 100)
    assert not lane.asleep


def test_what_flew_when_it_was_detached_wakes_it_when_it_lands() -> None:
    lane = a_lane(flying={0: MAX_BYTES})
    assert lane.is_full
    lane.fall_off(1)
    lane.landed([Member(0, MAX_BYTES)])
    assert not lane.asleep


def test_one_that_starts_over_is_awake() -> None:
    lane = a_full_lane()
    lane.start_over(SettledMap(-1, 0, frozenset()), {})
    assert not lane.asleep
    assert lane.position == 0


def test_a_scan_keeps_what_its_last_lane_could_not_take() -> None:
    records = [
        Record(position=Position(PARTITION, n), timestamp_ms=0, key=None, value=b"")
        for n in range(4, 9)
    ]
    scan = Scan(position=4, turn=1, slot=0)
    scan.set_aside(Batch(records, next_offset=12).after(2), now=5.0)
    assert scan.position == 6
    assert scan.in_hand == 6  # offsets 6 to 11, of which the last are markers
    assert scan.rest is not None
    assert [record.position.offset for record in scan.rest.records] == [6, 7, 8]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda lane: lane.take(1, 10), id="reads"),
        pytest.param(lambda lane: lane.settle(0, 10), id="settles"),
        pytest.param(lambda lane: lane.pass_to(5), id="passes over"),
        pytest.param(lambda lane: lane.start_over(lane.tracker.known, {}), id="starts over"),
        pytest.param(lambda lane: setattr(lane, "dirty", True), id="is to be written"),
    ],
)
def test_whose_row_may_have_changed_is_among_the_stirred(change: Callable[[Lane], object]) -> None:
    lanes = Lanes()
    lane = lanes[ID] = a_lane()
    lane.take(0, 10)
    assert lanes.stirred == {ID: lane}  # it came
    lanes.stirred.clear()
    lane.row(PARTITION, epoch=1, now=0.0)
    change(lane)
    assert lanes.stirred == {ID: lane}
    assert lane.dirty or lane.tracker.changed


def test_who_sleeps_rests_or_is_in_a_scan_isnt_free_until_that_is_over() -> None:
    lanes = Lanes()
    lane = lanes[ID] = a_full_lane()
    assert lanes.free(now=0.0) == []
    for offset in range(MAX_ENTRIES):
        lane.settle(offset, 10)
    assert lanes.free(now=0.0) == [lane]
    lane.rest(5.0)
    assert lanes.free(now=4.9) == []
    assert lanes.free(now=5.0) == [lane]
    scan = Scan(position=0, turn=1, slot=0)
    scan.members[ID], lane.scan = lane, scan
    assert lanes.free(now=6.0) == []
    scan.end()
    assert lanes.free(now=6.0) == [lane]


def test_a_rest_that_is_cut_short_is_over_then() -> None:
    lanes = Lanes()
    lane = lanes[ID] = a_lane()
    lane.rest(60.0)
    assert lanes.free(now=1.0) == []
    lane.rest(2.0)
    assert lanes.free(now=2.0) == [lane]


def test_a_lane_that_is_gone_isnt_free_and_one_in_its_place_is() -> None:
    lanes = Lanes()
    lanes[ID] = a_lane()
    lanes[ID].rest(3.0)
    del lanes[ID]
    assert lanes.free(now=4.0) == []
    lane = lanes[ID] = a_lane()
    assert lanes.free(now=4.0) == [lane]


def attach(lane: Lane) -> None:
    lane.happens(Input.READ)
    lane.happens(Input.FLIP)
    lane.attach_at = lane.position


@pytest.mark.parametrize(
    ("change", "is_fed"),
    [
        pytest.param(attach, True, id="is attached"),
        pytest.param(lambda lane: lane.happens(Input.READ), False, id="is read"),
        pytest.param(lambda lane: lane.happens(Input.REST), False, id="is not to be read"),
        pytest.param(lambda lane: setattr(lane, "state", State.DETACHING), True, id="is detached"),
    ],
)
def test_whose_part_the_feed_has_is_known_by_heart_only_until_that_changes(
    change: Callable[[Lane], object], *, is_fed: bool
) -> None:
    down, well = [Match(a_subscription(id_=id_), "plan.created") for id_ in (ID, ID[::-1])]
    matches = (down, well)
    lanes = Lanes()
    lane = lanes[ID] = a_lane()
    assert list(lanes.fed(matches)) == [down, well], "its row isn't durable: placeholders"
    lane.happens(Input.WRITTEN)
    assert list(lanes.fed(matches)) == [well]
    assert lanes.fed(matches) is lanes.fed(matches)
    change(lane)
    assert (down in lanes.fed(matches)) == is_fed
    assert well in lanes.fed(matches)


def test_a_lane_that_comes_or_goes_changes_whom_the_feed_passes_over() -> None:
    down = Match(a_subscription(id_=ID), "plan.created")
    matches = (down,)
    lanes = Lanes()
    lanes[ID] = a_lane()
    lanes[ID].happens(Input.WRITTEN)
    assert not lanes.fed(matches)
    del lanes[ID]
    assert list(lanes.fed(matches)) == [down]
    lane = a_lane()
    lane.happens(Input.WRITTEN)
    lanes[ID] = lane
    assert not lanes.fed(matches)
    lane.start_over(SettledMap(-1, 0, frozenset()), {})
    assert not lanes.fed(matches)


def test_other_matches_with_the_same_address_are_others() -> None:
    lanes = Lanes()
    lanes[ID] = a_lane()
    lanes[ID].happens(Input.WRITTEN)
    for n in range(100):  # each tuple is gone before the next one is made
        match = Match(a_subscription(id_=f"{n:024x}"), "plan.created")
        assert list(lanes.fed((match,))) == [match]
    match = Match(a_subscription(id_=ID), "plan.created")
    assert lanes.fed([match]) == [], "of a filter: a list is another one each time"


def test_nobody_is_looked_for_where_all_rest() -> None:
    lanes = Lanes()
    lane = lanes[ID] = a_lane()
    assert lanes.has_free(0.0)
    lane.rest(5.0)
    assert lanes.free(0.0) == []
    assert not lanes.has_free(4.9)
    assert lanes.has_free(5.0)
