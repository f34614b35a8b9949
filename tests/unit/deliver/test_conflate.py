"""The latest position of each vehicle: which is sent, when, and what it took the place of."""

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.deliver import conflate
from services.deliver.conflate import Conflation, Fix, Over
from services.kernel.delivery import Delivery
from services.kernel.event import Position
from tests.support.factories import PARTITION, PROJECT, a_subscription

EVERY = 30.0
VAN = "van"


def a_position(offset: int, key: str = VAN) -> Delivery:
    return Delivery(
        position=Position(PARTITION, offset),
        epoch=1,
        subscription_id=a_subscription("vehicle.position").id,
        event_id=f"{offset:024x}",
        type="vehicle.position",
        body=b"{}",
        content_type="application/json",
        key=key,
        project_id=PROJECT,
        timestamp_ms=0,
    )


def taken(found: Delivery | None) -> tuple[int, int]:
    """Return offset and number of those it took the place of."""
    assert found is not None
    return found.position.offset, found.conflated


def over(found: Over) -> list[int]:
    return [old.position.offset for old in found if old is not None]


def sent(vehicles: Conflation, offset: int, *, at: float = 0.0, key: str = VAN) -> Delivery:
    """Return a position that came, went out and was answered *at* that moment."""
    vehicles.add(key, Fix(float(offset), offset), a_position(offset, key), now=at)
    found = vehicles.next(at)
    assert found is not None
    vehicles.landed(key, offset, began=at)
    return found


def test_the_first_goes_at_once_and_of_those_that_follow_the_latest_in_its_time() -> None:
    vehicles = Conflation(EVERY)
    assert taken(sent(vehicles, 1)) == (1, 0)
    for offset in (2, 3, 4):
        superseded = vehicles.add(VAN, Fix(offset, offset), a_position(offset), now=offset)
        assert over(superseded) == ([offset - 1] if offset > 2 else [])
    assert vehicles.next(29.9) is None
    assert taken(vehicles.next(30.0)) == (4, 2)
    assert vehicles.next(99.0) is None


def test_the_latest_is_by_the_time_of_the_fix_and_by_offset_where_that_is_the_same() -> None:
    vehicles = Conflation(EVERY)
    sent(vehicles, 5)
    for offset, at, superseded in ((6, 9.0, []), (7, 7.0, [7]), (8, 4.0, [8]), (9, 9.0, [6])):
        assert over(vehicles.add(VAN, Fix(at, offset), a_position(offset), now=1.0)) == superseded
    assert taken(vehicles.next(EVERY)) == (9, 3)
    late = vehicles.add(VAN, Fix(8.0, 10), a_position(10), now=31.0)  # older than what is out
    assert over(late) == [10]


def test_one_of_a_vehicle_is_out_at_most_and_others_do_not_wait_for_it() -> None:
    vehicles = Conflation(EVERY)
    for offset, key in ((1, "a"), (2, "b")):
        vehicles.add(key, Fix(offset, offset), a_position(offset, key), now=0.0)
    assert taken(vehicles.next(0.0)) == (1, 0)
    vehicles.add("a", Fix(3, 3), a_position(3, "a"), now=40.0)
    assert taken(vehicles.next(40.0)) == (2, 0)
    assert vehicles.next(80.0) is None
    vehicles.landed("a", 1, began=0.0)
    assert taken(vehicles.next(80.0)) == (3, 0)


def test_whose_time_came_first_goes_first() -> None:
    vehicles = Conflation(EVERY)
    for n, key in enumerate("abc"):
        sent(vehicles, n, at=float(n), key=key)
    for n, key in enumerate("cab", start=3):
        vehicles.add(key, Fix(n, n), a_position(n, key), now=10.0)
    found = [vehicles.next(99.0) for _ in range(3)]
    assert [delivery.key for delivery in found if delivery] == ["a", "b", "c"]


def test_what_failed_is_superseded_by_what_waits_and_counts_with_all_it_took_the_place_of() -> None:
    vehicles = Conflation(EVERY)
    vehicles.add(VAN, Fix(1, 1), a_position(1), now=0.0)
    vehicles.add(VAN, Fix(2, 2), a_position(2), now=0.0)
    failed = vehicles.next(0.0)
    assert taken(failed) == (2, 1)
    assert not vehicles.is_overtaken(VAN, 2)
    vehicles.add(VAN, Fix(3, 3), a_position(3), now=5.0)
    vehicles.landed(VAN, 2, began=0.0)
    assert vehicles.is_overtaken(VAN, 2)
    assert failed is not None
    vehicles.fold(VAN, failed)
    assert vehicles.next(29.0) is None
    assert taken(vehicles.next(30.0)) == (3, 2)


def test_a_row_is_superseded_by_the_next_position_and_given_out_no_more() -> None:
    vehicles = Conflation(EVERY)
    vehicles.park(VAN, sent(vehicles, 1))
    assert over(vehicles.add(VAN, Fix(2, 2), a_position(2), now=5.0)) == [1]
    assert vehicles.fetch(VAN, a_position(1), now=6.0) is None
    assert taken(vehicles.next(EVERY)) == (2, 1)
    vehicles.landed(VAN, 2, began=EVERY)
    assert vehicles.fetch(VAN, a_position(1), now=40.0) is None  # read before it was deleted


def test_a_row_that_comes_back_keeps_its_count_and_goes_beside_no_other_of_its_vehicle() -> None:
    vehicles = Conflation(EVERY)
    vehicles.add(VAN, Fix(1, 1), a_position(1), now=0.0)
    vehicles.park(VAN, sent(vehicles, 2))
    again = vehicles.fetch(VAN, a_position(2), now=5.0)
    assert taken(again) == (2, 1)
    assert over(vehicles.add(VAN, Fix(3, 3), a_position(3), now=6.0)) == []  # it is under way
    assert vehicles.next(99.0) is None
    assert vehicles.fetch(VAN, a_position(9), now=7.0) is None
    vehicles.landed(VAN, 2, began=5.0)
    assert taken(vehicles.next(35.0)) == (3, 0)


def test_a_row_of_an_earlier_owner_is_not_taken_for_the_one_that_is_known() -> None:
    vehicles = Conflation(EVERY)
    vehicles.add(VAN, Fix(2, 2), a_position(2), now=0.0)
    vehicles.park(VAN, sent(vehicles, 3))
    assert taken(vehicles.fetch(VAN, a_position(1), now=5.0)) == (1, 0)
    vehicles.landed(VAN, 1, began=5.0)
    assert taken(vehicles.fetch(VAN, a_position(3), now=6.0)) == (3, 1)
    vehicles.landed(VAN, 3, began=6.0)
    vehicles.park(VAN, a_position(3))
    assert taken(vehicles.fetch(VAN, a_position(1), now=7.0)) == (1, 0)
    vehicles.landed(VAN, 1, began=7.0)
    assert over(vehicles.add(VAN, Fix(4, 4), a_position(4), now=8.0)) == [3]


def test_a_row_of_an_earlier_owner_is_outdated_by_what_was_taken_after_it_was_written() -> None:
    vehicles = Conflation(EVERY)
    row = replace(a_position(3), timestamp_ms=50_000)
    assert not vehicles.is_outdated(VAN, row)
    sent(vehicles, 40)
    assert not vehicles.is_outdated(VAN, row), "it may have been taken after that one was"
    sent(vehicles, 60, at=EVERY)
    assert vehicles.is_outdated(VAN, row)
    assert not vehicles.is_outdated("another", row)
    assert not vehicles.is_outdated(VAN, a_position(60)), "it is the latest itself"


def test_a_probe_that_failed_waits_behind_others_and_keeps_its_count() -> None:
    vehicles = Conflation(EVERY)
    for n in (1, 2):
        vehicles.add("a", Fix(n, n), a_position(n, "a"), now=0.0)
    vehicles.add("b", Fix(3, 3), a_position(3, "b"), now=0.0)
    probe = vehicles.next(0.0)
    assert probe is not None
    vehicles.landed("a", 2, began=0.0)
    assert vehicles.again("a", probe, now=1.0)
    assert taken(vehicles.next(1.0)) == (3, 0)
    assert taken(vehicles.next(1.0)) == (2, 1)


def test_another_pause_holds_for_what_waits_already() -> None:
    vehicles = Conflation(EVERY)
    sent(vehicles, 1)
    vehicles.add(VAN, Fix(2, 2), a_position(2), now=0.0)
    vehicles.change(2.0)
    assert vehicles.next(1.9) is None
    assert taken(vehicles.next(2.0)) == (2, 0)


@pytest.mark.parametrize(("again", "found"), [(False, []), (True, [1])])
def test_what_is_read_again_takes_no_place_of_what_went_out_but_where_a_person_asked_for_it(
    *, again: bool, found: list[int]
) -> None:
    vehicles = Conflation(EVERY)
    sent(vehicles, 2)
    vehicles.add(VAN, Fix(3, 3), a_position(3), now=1.0)
    vehicles.start_over({}, again=again)
    assert (len(vehicles), vehicles.next(99.0)) == (0, None)
    vehicles.add(VAN, Fix(1, 1), a_position(1), now=2.0)
    delivery = vehicles.next(99.0)
    assert ([] if delivery is None else [delivery.position.offset]) == found


def test_what_flies_while_its_lane_starts_over_is_out_still() -> None:
    vehicles = Conflation(EVERY)
    vehicles.add(VAN, Fix(1, 1), a_position(1), now=0.0)
    assert vehicles.next(0.0) is not None
    vehicles.start_over({VAN: 1, "other": 2}, again=False)
    for key in (VAN, "other"):
        vehicles.add(key, Fix(3, 3), a_position(3, key), now=1.0)
    assert vehicles.next(99.0) is None
    vehicles.landed("other", 2, began=0.0)
    assert vehicles.next(99.0) is not None


def test_of_so_many_vehicles_those_are_forgotten_of_which_nothing_came_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conflate, "MAX_KNOWN", 3)
    vehicles = Conflation(EVERY)
    for n in range(9):
        sent(vehicles, n, key=f"v{n}")
    assert len(vehicles._vehicles) == 3
    vehicles.add("v8", Fix(9, 9), a_position(9, "v8"), now=1.0)
    assert vehicles.next(1.0) is None  # known: its time has not come
    vehicles.add("v0", Fix(9, 10), a_position(10, "v0"), now=1.0)
    assert taken(vehicles.next(1.0)) == (10, 0)


KEYS = st.sampled_from(["a", "b", "c"])


class Vehicles(RuleBasedStateMachine):
    """Whatever comes in whatever order: who is sent, when, and what became of all others."""

    def __init__(self) -> None:
        super().__init__()
        self.vehicles = Conflation(EVERY)
        self.now = 0.0
        self.offset = 0
        self.fix: dict[int, Fix] = {}
        self.key: dict[int, str] = {}
        self.open: set[int] = set()
        """Waiting: neither out, parked nor ended."""
        self.out: dict[str, Delivery] = {}
        self.began: dict[str, float] = {}
        self.newest: dict[str, Fix] = {}
        self.rows: dict[str, Delivery] = {}
        self.superseded: dict[int, int] = {}
        """By whom, if that is known at once."""
        self.got: dict[str, int] = defaultdict(int)
        """How many acknowledged ones stand for."""
        self.trailing: dict[str, int] = defaultdict(int)
        self.total: dict[str, int] = defaultdict(int)

    @rule(key=KEYS, late=st.integers(0, 40))
    def arrives(self, key: str, late: int) -> None:
        self.offset += 1
        offset, fix = self.offset, Fix(self.now - late, self.offset)
        self.fix[offset], self.key[offset] = fix, key
        self.total[key] += 1
        self.open.add(offset)
        found = self.vehicles.add(key, fix, a_position(offset, key), now=self.now)
        for old in found:
            if old is not None:
                self._supersede(old.position.offset)
        if found.parked is not None:
            assert self.rows.pop(key).position == found.parked.position
        if offset not in self.open:
            self.trailing[key] += 1

    def _supersede(self, offset: int) -> None:
        key, fix = self.key[offset], self.fix[offset]
        others = [o for o in self.open if self.key[o] == key and self.fix[o] > fix]
        assert others or self.newest[key] > fix
        self.open.discard(offset)
        self.superseded[offset] = max(others, default=0)

    @rule(room=st.integers(1, 3))
    def hands_out(self, room: int) -> None:
        for _ in range(room):
            delivery = self.vehicles.next(self.now)
            if delivery is None:
                break
            self._goes(delivery)

    def _goes(self, delivery: Delivery) -> None:
        key, offset = self.key[delivery.position.offset], delivery.position.offset
        assert key not in self.out
        assert key not in self.newest or self.fix[offset] > self.newest[key]
        assert self.now - self.began.get(key, -EVERY) >= EVERY
        assert not any(self.key[o] == key and self.fix[o] > self.fix[offset] for o in self.open)
        self.open.remove(offset)
        self.out[key], self.newest[key], self.trailing[key] = delivery, self.fix[offset], 0
        self.began[key] = self.now

    @rule(key=KEYS, ok=st.booleans())
    def lands(self, key: str, *, ok: bool) -> None:
        delivery = self.out.pop(key, None)
        if delivery is None:
            return
        offset = delivery.position.offset
        self.vehicles.landed(key, offset, began=self.began[key])
        if ok:
            self.got[key] += 1 + delivery.conflated
        elif self.vehicles.is_overtaken(key, offset):
            self.vehicles.fold(key, delivery)
            self._supersede(offset)
        else:
            self.vehicles.park(key, delivery)
            self.rows[key] = delivery

    @rule(key=KEYS)
    def comes_back(self, key: str) -> None:
        if key in self.rows:
            row = a_position(self.rows[key].position.offset, key)
            delivery = self.vehicles.fetch(key, row, now=self.now)
            if delivery is not None:
                assert key not in self.out
                del self.rows[key]
                self.out[key], self.began[key], self.trailing[key] = delivery, self.now, 0

    @rule(seconds=st.integers(1, 40))
    def passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def one_of_a_vehicle_waits_at_most(self) -> None:
        waiting = [self.key[offset] for offset in self.open]
        assert len(waiting) == len(set(waiting)) == len(self.vehicles)

    def teardown(self) -> None:
        for _ in range(3):
            for key in list(self.out):
                self.lands(key, ok=True)
            for key in list(self.rows):
                self.comes_back(key)
            self.now += 2 * EVERY
            self.hands_out(3)
        assert (self.open, self.rows) == (set(), {})
        for key, total in self.total.items():
            out = self.out.get(key)
            waits = 0 if out is None else 1 + out.conflated
            assert self.got[key] + waits + self.trailing[key] == total


TestVehicles = Vehicles.TestCase
