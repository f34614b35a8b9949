"""What may be committed is never above an open offset, in whatever order deliveries end."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.feed.settled_map import decode, encode
from services.feed.tracker import Tracker


def a_tracker(*, offsets: range = range(10, 14), due: str = "s") -> Tracker:
    tracker = Tracker(start=offsets.start)
    tracker.register(offsets, next_offset=offsets.stop)
    for offset in offsets:
        tracker.open(offset, due)
        tracker.matched(offset)
    return tracker


def test_a_batch_holds_the_commit_from_the_moment_it_is_registered() -> None:
    tracker = Tracker(start=5)
    tracker.register(range(5, 8), next_offset=8)
    assert tracker.lowest == 5


def test_an_event_that_nobody_wants_is_settled_by_matching_it() -> None:
    tracker = Tracker(start=5)
    tracker.register(range(5, 8), next_offset=8)
    for offset in range(5, 8):
        tracker.matched(offset)
    assert (tracker.lowest, tracker.open_count) == (8, 0)


def test_a_later_success_does_not_move_the_commit_past_an_earlier_open_offset() -> None:
    tracker = a_tracker()
    for offset in (11, 12, 13):
        assert tracker.settle(offset, "s")
    assert tracker.lowest == 10
    assert tracker.settle(10, "s")
    assert tracker.lowest == 14


def test_markers_and_holes_at_the_end_of_a_batch_are_passed() -> None:
    tracker = Tracker(start=0)
    tracker.register([0, 3], next_offset=9)
    tracker.matched(0)
    tracker.matched(3)
    assert tracker.lowest == 9


def test_settling_twice_or_what_was_never_due_changes_nothing() -> None:
    tracker = a_tracker()
    assert tracker.settle(10, "s")
    assert not tracker.settle(10, "s")
    assert not tracker.settle(11, "someone else")
    assert not tracker.settle(99, "s")
    assert tracker.lowest == 11


def test_an_offset_that_is_partly_delivered_is_known_as_such() -> None:
    tracker = Tracker(start=0)
    tracker.register([0], next_offset=1)
    tracker.open(0, "a")
    tracker.open(0, "b")
    tracker.matched(0)
    assert not tracker.is_partial(0)
    tracker.settle(0, "a")
    assert tracker.is_partial(0)
    tracker.settle(0, "b")
    assert not tracker.is_partial(0)


def handed_over(before: Tracker) -> Tracker:
    """Return the tracker of an owner that begins where *before* committed."""
    progress = before.progress()
    text, fits = encode(epoch=1, base=progress.offset, open_offsets=progress.open, end=progress.end)
    assert fits
    settled = decode(text, committed=progress.offset).settled
    return Tracker(start=progress.offset, settled=settled)


def read(tracker: Tracker, offsets: range, *, due: str = "s") -> list[int]:
    """Register and match *offsets*; return those that are open."""
    tracker.register(offsets, next_offset=offsets.stop)
    for offset in offsets:
        if tracker.is_open(offset):
            tracker.open(offset, due)
        tracker.matched(offset)
    return [offset for offset in offsets if tracker.is_open(offset)]


def test_what_an_earlier_epoch_settled_is_not_opened_again() -> None:
    before = a_tracker(offsets=range(100, 110))
    for offset in (101, 102, 105):
        before.settle(offset, "s")
    assert read(handed_over(before), range(100, 110)) == [100, 103, 104, 106, 107, 108, 109]


@pytest.mark.parametrize("seen", range(11))
def test_an_owner_that_stops_early_hands_on_what_the_one_before_it_had_settled(seen: int) -> None:
    """It commits at once, and may be gone before it has read as far as that."""
    before = a_tracker(offsets=range(100, 110))
    for offset in (101, 102, 105, 109):
        before.settle(offset, "s")
    early = handed_over(before)
    read(early, range(100, 100 + seen))
    assert read(handed_over(early), range(100, 110)) == [100, 103, 104, 106, 107, 108]


def test_what_is_registered_and_not_matched_yet_is_not_handed_on_as_settled() -> None:
    before = a_tracker(offsets=range(100, 104))
    before.settle(102, "s")
    early = handed_over(before)
    early.register(range(100, 108), next_offset=108)
    assert read(handed_over(early), range(100, 108)) == [100, 101, 103, 104, 105, 106, 107]


class TrackerMachine(RuleBasedStateMachine):
    """Held to a model that keeps every pair by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker = Tracker(start=0)
        self.unmatched: list[int] = []
        self.pairs: set[tuple[int, str]] = set()
        self.read_pos = 0
        self.all: set[int] = set()

    @rule(steps=st.lists(st.integers(1, 4), max_size=6), tail=st.integers(0, 3))
    def register(self, steps: list[int], tail: int) -> None:
        offsets = []
        at = self.read_pos
        for step in steps:
            offsets.append(at + step - 1)
            at += step
        self.read_pos = at + tail
        self.tracker.register(offsets, next_offset=self.read_pos)
        self.unmatched += offsets
        self.all |= set(offsets)

    @precondition(lambda self: self.unmatched)
    @rule(due=st.sets(st.sampled_from("abc")))
    def match(self, due: set[str]) -> None:
        offset = self.unmatched.pop(0)
        for name in sorted(due):
            self.tracker.open(offset, name)
            self.tracker.open(offset, name)
            self.pairs.add((offset, name))
        self.tracker.matched(offset)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(sorted(self.pairs)))
        self.pairs.discard(pair)
        assert self.tracker.settle(*pair)
        assert not self.tracker.settle(*pair)

    @invariant()
    def the_lowest_open_offset_is_what_may_be_committed(self) -> None:
        still = {offset for offset, _ in self.pairs} | set(self.unmatched)
        assert self.tracker.lowest == min(still, default=self.read_pos)
        assert self.tracker.open_count == len(still)

    @invariant()
    def each_pair_that_is_open_is_counted(self) -> None:
        assert self.tracker.pairs == len(self.pairs)

    @invariant()
    def the_map_settles_nothing_that_is_open_and_all_that_was_matched(self) -> None:
        still = {offset for offset, _ in self.pairs} | set(self.unmatched)
        progress = self.tracker.progress()
        text, _ = encode(
            epoch=1, base=progress.offset, open_offsets=progress.open, end=progress.end
        )
        settled = decode(text, committed=progress.offset).settled
        assert not {offset for offset in still if offset in settled}
        matched = self.all - set(self.unmatched) - still
        assert {o for o in matched if o > progress.offset} == {
            o for o in matched if o > progress.offset and o in settled
        }


TestTracker = TrackerMachine.TestCase
TestTracker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
