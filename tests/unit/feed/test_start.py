"""Where a new owner begins, for everything that can be found."""

import pytest

from services.feed.settled_map import encode
from services.feed.start import Gap, Start, Why, begin
from services.kernel.errors import StoreWentBackError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, Commit
from services.kernel.ports.store.partitions import Assignment

P = Partition("planner.events", 3)


def a_commit(offset: int, *, epoch: int = 4, writes: int = 0) -> Commit:
    text, _ = encode(epoch=epoch, base=offset, open_offsets=[offset], end=offset + 5, writes=writes)
    return Commit(offset, text)


def found(
    commit: Commit | None,
    *,
    known: int | None = 100,
    epoch: int = 4,
    writes: int = 0,
    start: int = 0,
    end: int = 1_000,
) -> Start:
    assignment = Assignment(
        epoch=epoch + 1,
        committed=known,
        committed_epoch=epoch,
        settled=(),
        usage={},
        writes=writes,
    )
    return begin(P, commit=commit, assignment=assignment, bounds=Bounds(start, end))


def test_a_partition_nobody_knows_starts_at_its_beginning() -> None:
    begun = found(None, known=None, epoch=0, start=17)
    assert (begun.offset, begun.why, begun.gaps) == (17, Why.NEW, ())


def test_a_group_whose_offsets_expired_goes_on_where_postgres_says() -> None:
    begun = found(None, known=100)
    assert (begun.offset, begun.why) == (100, Why.EXPIRED)


def test_a_restart_goes_on_where_it_stopped_with_its_map() -> None:
    begun = found(a_commit(120))
    assert (begun.offset, begun.why) == (120, Why.RESUMED)
    assert [o for o in range(118, 130) if o in begun.settled] == [121, 122, 123, 124]


def test_a_person_moving_back_marks_a_replay_and_asks_for_dead_letters_again() -> None:
    begun = found(Commit(40, ""), known=100)
    assert (begun.offset, begun.why, begun.replay_below) == (40, Why.RESET_BACK, 100)
    assert (begun.trust_rows, begun.trust_dead) == (True, False)


def test_a_person_moving_forward_leaves_a_gap_on_record() -> None:
    begun = found(Commit(400, ""), known=100)
    assert (begun.offset, begun.why) == (400, Why.RESET_FORWARD)
    assert begun.gaps == (Gap(100, 400, "skipped"),)


def test_an_offset_below_the_log_is_a_gap_of_retention() -> None:
    begun = found(a_commit(120), start=300)
    assert (begun.offset, begun.gaps) == (300, (Gap(120, 300, "retention"),))


def test_a_recreated_topic_begins_at_its_end_and_trusts_nothing_of_before() -> None:
    begun = found(a_commit(900), end=50)
    assert (begun.offset, begun.gaps) == (50, (Gap(0, 50, "recreated"),))
    assert not begun.trust_rows
    assert 901 not in begun.settled


def test_metadata_of_others_goes_on_without_a_map() -> None:
    begun = found(Commit(120, "another tool's"))
    assert (begun.offset, begun.why) == (120, Why.RESUMED)
    assert 121 not in begun.settled


def test_postgres_gone_back_in_time_refuses_and_names_the_command() -> None:
    with pytest.raises(StoreWentBackError, match="reset-offsets --to-datetime"):
        found(a_commit(120, epoch=9), epoch=8)
    with pytest.raises(
        StoreWentBackError, match=r"after 31 writes, and Postgres knows .* 30 writes"
    ):
        found(a_commit(120, writes=31), writes=30)  # within one epoch
    assert found(a_commit(120, writes=31), writes=32).why is Why.RESUMED


def test_a_reset_after_a_restore_is_what_the_refusal_asked_for() -> None:
    assert found(Commit(40, ""), epoch=1, known=30).why is Why.RESET_FORWARD
    assert found(Commit(20, ""), epoch=1, known=30).why is Why.RESET_BACK
