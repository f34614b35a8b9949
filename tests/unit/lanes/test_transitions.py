"""Every pair of state and input, in a table."""

import pytest

from services.lanes.transitions import Input, State, step

A, T, D, C, R = (
    State.ATTACHED,
    State.DETACHING,
    State.DETACHED,
    State.CATCHING_UP,
    State.DRAINING,
)
TABLE = {  # rows: what happens; columns: attached, detaching, detached, catching up, draining
    Input.DETACH: (T, T, D, D, T),
    Input.WRITTEN: (A, D, D, C, R),
    Input.READ: (A, T, C, C, R),
    Input.REST: (A, T, D, D, R),
    Input.FLIP: (A, T, D, R, R),
    Input.DRAINED: (A, T, D, C, A),
}


@pytest.mark.parametrize("given", Input)
@pytest.mark.parametrize(("state", "column"), [(A, 0), (T, 1), (D, 2), (C, 3), (R, 4)])
def test_every_state_and_input_leads_where_the_table_says(
    state: State, column: int, given: Input
) -> None:
    assert step(state, given) is TABLE[given][column]


def test_only_a_durable_row_ends_detaching() -> None:
    assert [given for given in Input if step(T, given) is not T] == [Input.WRITTEN]


def test_nobody_is_attached_again_but_through_a_flip_and_a_drain() -> None:
    ways = [(state, given) for state in State for given in Input if step(state, given) is A]
    assert [way for way in ways if way[0] is not A] == [(R, Input.DRAINED)]
