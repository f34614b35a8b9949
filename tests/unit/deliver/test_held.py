"""Who waits for a time is looked at then, once."""

from hypothesis import given
from hypothesis import strategies as st

from services.deliver.held import SLOTS_A_SECOND, Held
from services.kernel.ids import SubscriptionId

A, B = SubscriptionId("a" * 24), SubscriptionId("b" * 24)


def test_each_is_taken_once_when_its_time_has_come_the_earlier_first() -> None:
    held = Held()
    held.hold(A, 3.0)
    held.hold(B, 2.0)
    assert held.take_due(1.9) == []
    assert held.take_due(3.0) == [B, A]
    assert held.take_due(9.0) == []


def test_who_was_dropped_isnt_taken_even_if_it_was_held_anew_for_later() -> None:
    held = Held()
    held.hold(A, 1.0)
    held.drop(A)
    held.hold(A, 5.0)
    assert held.take_due(4.0) == []
    assert held.take_due(5.0) == [A]


def test_who_comes_and_goes_takes_bounded_memory() -> None:
    held = Held()
    for n in range(10_000):
        held.hold(A, 3_600.0 + n / 1_000)
        held.drop(A)
    held.hold(B, 1.0)
    assert len(held._next) <= 10 * SLOTS_A_SECOND + 1
    assert not any(map(len, list(held._slots.values())[:-1]))
    assert held.take_due(1.0) == [B]


def test_nobody_is_taken_more_than_a_tenth_of_a_second_early() -> None:
    held = Held()
    held.hold(A, 5.05)
    assert not held.is_due(4.99)
    assert held.take_due(4.99) == []
    held.hold(A, 5.05)
    assert held.is_due(5.05)
    assert held.take_due(5.05) == [A]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("hold"), st.sampled_from("abc"), st.integers(0, 9)),
            st.tuples(st.just("drop"), st.sampled_from("abc"), st.just(0)),
            st.tuples(st.just("take"), st.just(""), st.integers(0, 9)),
        )
    )
)
def test_it_is_a_dict_of_the_earliest_times(steps: list[tuple[str, str, int]]) -> None:
    held, model = Held(), dict[str, int]()
    for what, id_, at in steps:
        if what == "hold":
            held.hold(SubscriptionId(id_), at)
            model[id_] = min(at, model.get(id_, at))
        elif what == "drop":
            held.drop(SubscriptionId(id_))
            model.pop(id_, None)
        else:
            due = {each for each, until in model.items() if until <= at}
            assert held.is_due(at) >= bool(due)
            taken = held.take_due(at)
            assert set(taken) == due
            assert [model[each] for each in taken] == sorted(model[each] for each in due)
            for each in due:
                del model[each]
        assert sorted(held) == sorted(model)
