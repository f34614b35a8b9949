"""The ledger of a chaos run: it misses what is missing, and excuses no repeat and no overtaking."""

from collections.abc import Callable

import pytest

from services.dev.farm import Entry
from services.dev.ledger import Cause, Disruption, Ends, Ledger, Receiver, What


def an_entry(number: int, began: float, **fields: object) -> Entry:
    entry = Entry(
        slot=0,
        numbers=(number,),
        attempt=1,
        worker="ada",
        replay="",
        sent=int(began),
        began=began,
        ended=began + 0.01,
        status=200,
    )
    return entry._replace(**fields)


def a_ledger(*entries: Entry, ordered: bool = False) -> Ledger:
    ledger = Ledger([Receiver(0, "fast", ordered=ordered, first=2)])
    for entry in entries:
        ledger.take(entry)
    return ledger


def never(_: int, __: float) -> bool:
    return False


def always(_: int, __: float) -> bool:
    return True


def causes(
    ledger: Ledger, *disruptions: Disruption, in_lane: Callable[[int, float], bool] = never
) -> dict[Cause, int]:
    return dict(ledger.causes(disruptions, in_lane=in_lane))


def test_what_was_never_acknowledged_is_missing_from_its_first_event_on() -> None:
    ledger = a_ledger(an_entry(2, 1.0), an_entry(3, 1.0, status=500))
    assert ledger.missing(range(5)) == {(0, 3), (0, 4)}


def test_a_batch_acknowledges_each_of_its_events() -> None:
    batch = an_entry(2, 1.0, numbers=(2, 3, 4))
    assert a_ledger(batch).missing(range(6)) == {(0, 5)}
    again = a_ledger(batch, batch._replace(began=2.0))
    assert causes(again) == {Cause.UNEXPLAINED: 3}


def test_a_retry_of_what_was_not_acknowledged_is_no_repeat() -> None:
    assert causes(a_ledger(an_entry(2, 1.0, status=500), an_entry(2, 2.0))) == {}
    assert causes(a_ledger(an_entry(2, 1.0, status=0), an_entry(2, 2.0))) == {}


KILL = Disruption(What.KILL, 10.0, 10.0, "ada")


@pytest.mark.parametrize(
    ("ended", "cause"),
    [
        (10.2, Cause.IN_FLIGHT),
        (9.99, Cause.IN_FLIGHT),
        (9.7, Cause.SINCE_COMMIT),
        (6.5, Cause.HELD),
        (5.5, Cause.UNEXPLAINED),
    ],
)
def test_a_repeat_after_a_kill_is_explained_by_its_age(ended: float, cause: Cause) -> None:
    ledger = a_ledger(
        an_entry(2, ended - 0.5, ended=ended), an_entry(2, 12.0, worker="bob", ended=12.1)
    )
    assert causes(ledger, KILL) == {cause: 1}


def test_what_a_lane_did_not_store_is_told_apart_and_lasts_while_postgres_is_away() -> None:
    ledger = a_ledger(an_entry(2, 8.9), an_entry(2, 12.0))
    assert causes(ledger, KILL, in_lane=always) == {Cause.LANE: 1}
    ledger = a_ledger(an_entry(2, 4.0), an_entry(2, 12.0))
    assert causes(ledger, KILL, in_lane=always) == {Cause.UNEXPLAINED: 1}
    away = Disruption(What.POSTGRES, 5.0, 11.0)
    assert causes(ledger, KILL, away, in_lane=always) == {Cause.LANE: 1}


def test_an_answer_beyond_the_time_limit_explains_a_repeat_and_one_within_it_does_not() -> None:
    late = a_ledger(an_entry(2, 5.5, sent=2, ended=5.6), an_entry(2, 7.0))
    assert causes(late) == {Cause.LATE: 1}
    in_time = a_ledger(an_entry(2, 4.5, sent=2, ended=4.6), an_entry(2, 7.0))
    assert causes(in_time) == {Cause.UNEXPLAINED: 1}


def test_a_kill_of_another_worker_explains_nothing() -> None:
    ledger = a_ledger(an_entry(2, 9.9, worker="bob"), an_entry(2, 12.0))
    assert causes(ledger, KILL) == {Cause.UNEXPLAINED: 1}


def test_a_graceful_stop_leaves_what_outlasts_its_drain_and_no_more() -> None:
    stop = Disruption(What.STOP, 10.0, 20.5, "ada")
    quick = a_ledger(an_entry(2, 9.9), an_entry(2, 22.0))
    assert causes(quick, stop) == {Cause.UNEXPLAINED: 1}
    slow = a_ledger(an_entry(2, 9.9, ended=20.3), an_entry(2, 22.0))
    assert causes(slow, stop) == {Cause.DRAINED: 1}


def test_kafka_away_commits_nothing_and_a_woken_worker_sends_before_it_knows() -> None:
    kafka = Disruption(What.KAFKA, 10.0, 15.0)
    assert causes(a_ledger(an_entry(2, 14.0), an_entry(2, 17.0)), kafka) == {Cause.SINCE_COMMIT: 1}
    assert causes(a_ledger(an_entry(2, 8.0), an_entry(2, 17.0)), kafka) == {Cause.HELD: 1}
    assert causes(a_ledger(an_entry(2, 5.0), an_entry(2, 17.0)), kafka) == {Cause.UNEXPLAINED: 1}
    postgres = Disruption(What.POSTGRES, 6.0, 9.0)
    both = a_ledger(an_entry(2, 5.0), an_entry(2, 17.0))
    assert causes(both, kafka, postgres) == {Cause.HELD: 1}
    frozen = Disruption(What.FREEZE, 10.0, 17.0, "ada")
    woken = a_ledger(an_entry(2, 14.0, worker="bob"), an_entry(2, 17.1))
    assert causes(woken, frozen) == {Cause.WOKEN: 1}


def test_what_a_person_moved_comes_again_marked_or_not() -> None:
    marked = a_ledger(an_entry(2, 1.0), an_entry(2, 30.0, replay="group-reset"))
    assert causes(marked) == {Cause.RESET: 1}
    reset = Disruption(What.RESET, 10.0, 15.0)
    assert causes(a_ledger(an_entry(2, 1.0), an_entry(2, 30.0)), reset) == {Cause.RESET: 1}
    assert causes(a_ledger(an_entry(2, 16.0), an_entry(2, 30.0)), reset) == {Cause.UNEXPLAINED: 1}
    from_a_row = a_ledger(an_entry(2, 16.0, attempt=2), an_entry(2, 30.0))
    assert causes(from_a_row, reset) == {Cause.RESET: 1}


KEY = {0: [2, 5, 8]}


def test_requests_of_a_key_one_after_the_other_are_in_order_retries_and_repeats_too() -> None:
    ledger = a_ledger(
        an_entry(2, 1.0, status=500),
        an_entry(2, 2.0),
        an_entry(5, 3.0),
        an_entry(2, 4.0),
        an_entry(5, 5.0),
        an_entry(8, 6.0),
        ordered=True,
    )
    assert ledger.violations(KEY, Ends()) == []


def test_who_begins_before_the_one_before_is_through_overtakes_or_overlaps() -> None:
    overtaking = a_ledger(an_entry(2, 1.0, status=500), an_entry(5, 2.0), ordered=True)
    assert overtaking.violations(KEY, Ends()) == [(0, 5, "overtakes")]
    assert overtaking.violations(KEY, Ends(dead={(0, 2)})) == []
    overlapping = a_ledger(an_entry(2, 1.0, ended=3.0), an_entry(5, 2.0), ordered=True)
    assert overlapping.violations(KEY, Ends()) == [(0, 5, "overlaps"), (0, 5, "overtakes")]


def test_latencies_are_from_produced_to_first_asked_for() -> None:
    ledger = a_ledger(an_entry(2, 1.0, status=500), an_entry(2, 9.0), an_entry(3, 2.0))
    found = ledger.latencies({2: 0.5, 3: 0.5}, between=(0.0, 1.0))
    assert found == {"fast": (0.5, 1.5)}
    assert ledger.latencies({2: 0.5, 3: 0.5}, between=(1.0, 2.0)) == {}


def test_a_takeover_lasts_until_each_partition_of_the_lost_worker_is_served_again() -> None:
    ledger = a_ledger(
        an_entry(2, 9.0),
        an_entry(3, 9.0),
        an_entry(4, 12.0, worker="bob"),
        an_entry(5, 14.0, worker="bob"),
    )
    assert ledger.takeovers({2: 0, 3: 1, 4: 0, 5: 1}, [KILL]) == [4.0]


def test_a_line_of_the_book_is_read_as_it_was_written() -> None:
    entry = an_entry(2, 1.5, numbers=(2, 3), replay="group-reset", ended=1.75)
    assert Entry.of(entry.line()) == entry
