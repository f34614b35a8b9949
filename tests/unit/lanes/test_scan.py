"""Which lanes are read together: two readers for however many lanes, and nobody waits for ever."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.lanes.scan import (
    MAX_SCANS,
    TURN_RECORDS,
    Running,
    Waiting,
    is_over,
    joins,
    may_start,
    start_of,
)

END = 10 * TURN_RECORDS


def running(
    position: int,
    *,
    members: int = 1,
    read: int = 0,
    turn: int = 1,
    in_hand: int = 0,
    lingers: bool = False,
) -> Running:
    return Running(
        position=position, turn=turn, read=read, members=members, in_hand=in_hand, lingers=lingers
    )


def test_a_scan_starts_at_the_lowest_cursor() -> None:
    assert start_of([Waiting(9, 0), Waiting(4, 0), Waiting(7, 0)]) == 4


def test_who_was_served_least_recently_comes_first() -> None:
    assert start_of([Waiting(4, 3), Waiting(9, 2)]) == 9


def test_nobody_waits_nothing_starts() -> None:
    assert start_of([]) is None
    assert not may_start([], [])


def test_a_lane_ahead_of_a_scan_needs_no_reader_of_its_own() -> None:
    assert not may_start([running(5)], [Waiting(5, 0), Waiting(8, 0)])
    assert may_start([running(5)], [Waiting(4, 0)])


def test_there_are_never_more_than_two_readers() -> None:
    assert not may_start([running(5), running(9)], [Waiting(1, 0)])


def test_a_scan_that_feeds_nobody_and_will_feed_nobody_is_over() -> None:
    alone = running(5, members=0)
    assert is_over(alone, [alone], [Waiting(4, 0)])
    assert not is_over(alone, [alone], [Waiting(5, 0)])


def test_nobody_is_read_past_for_who_stands_further_up() -> None:
    alone = running(5, members=0)
    assert is_over(alone, [alone], [Waiting(6, 0)])
    assert may_start([alone], [Waiting(6, 0)])


def test_a_scan_lingers_where_its_last_lane_fell_off() -> None:
    lingering = running(5, members=0, in_hand=3, lingers=True)
    assert not is_over(lingering, [lingering], [])
    assert not is_over(lingering, [lingering], [Waiting(8, 0)])  # it has that in hand
    later = running(5, members=0, in_hand=3)
    assert is_over(later, [later], [])


def test_a_scan_that_lingers_keeps_nobody_waiting() -> None:
    lingering = running(5, members=0, in_hand=3, lingers=True)
    for position in (4, 9):
        assert is_over(lingering, [lingering], [Waiting(position, 0)])
        assert may_start([lingering], [Waiting(position, 0)])


def test_two_that_meet_are_one_from_there_on() -> None:
    older, younger = running(7, turn=1), running(7, turn=2)
    assert joins(younger, [older, younger])
    assert not joins(older, [older, younger])
    assert not joins(running(6, turn=3), [older, younger])


def test_a_turn_ends_only_for_those_who_wait_behind_both_readers() -> None:
    long, tail = running(500, read=TURN_RECORDS), running(900)
    assert is_over(long, [long, tail], [Waiting(3, 0)])
    assert not is_over(long, [long, tail], [Waiting(600, 0)])
    assert not is_over(long, [long], [Waiting(3, 0)])


@dataclass
class Lane:
    position: int
    takes: int
    """Records it can take a turn before it falls off."""
    served: int = 0
    left: int = 0
    inside: Running | None = None


@dataclass
class Partition:
    lanes: list[Lane]
    scans: list[Running] = field(default_factory=list)
    turn: int = 0

    def step(self) -> None:
        waiting = [Waiting(x.position, x.served) for x in self.lanes if not x.inside]
        waiting = [lane for lane in waiting if lane.position < END]
        for scan in list(self.scans):
            if scan.position >= END or is_over(scan, self.scans, waiting):
                self.scans.remove(scan)
                for lane in self.lanes:
                    if lane.inside is scan:
                        lane.inside = None
        if may_start(self.scans, waiting):
            start = start_of(waiting)
            assert start is not None
            self.turn += 1
            self.scans.append(running(start, members=0, turn=self.turn))
        assert len(self.scans) <= MAX_SCANS
        for scan in self.scans:
            self.read(scan, TURN_RECORDS // 4)

    def read(self, scan: Running, count: int) -> None:
        begin, end = scan.position, min(scan.position + count, END)
        for lane in self.lanes:
            if lane.inside is None and begin <= lane.position < end:
                lane.inside, lane.served, lane.left = scan, scan.turn, lane.takes
            if lane.inside is scan:
                step = min(end - lane.position, lane.left)
                lane.position += step
                lane.left -= step
                if lane.position < end:
                    lane.inside = None
        scan.position, scan.read = end, scan.read + count
        scan.members = sum(lane.inside is scan for lane in self.lanes)


@given(
    st.lists(
        st.builds(
            Lane,
            position=st.integers(0, END - 1),
            takes=st.sampled_from([TURN_RECORDS // 3, TURN_RECORDS, END]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_lane_reaches_the_end_with_two_readers(lanes: list[Lane]) -> None:
    partition = Partition(lanes)
    for _ in range(12 * 40 * 4):
        partition.step()
        if all(lane.position == END for lane in lanes):
            return
    raise AssertionError([lane.position for lane in lanes])
