"""The states of a subscription on a partition. Every pair of state and input is in a table test."""

from enum import StrEnum


class State(StrEnum):
    """Who delivers what."""

    ATTACHED = "attached"  #: the feed delivers; there is no lane
    DETACHING = "detaching"  #: nobody delivers; what the feed reads waits until the row is durable
    DETACHED = "detached"  #: the row covers everything from the cursor on; nobody reads
    CATCHING_UP = "catching_up"  #: a scanner reads from the cursor on
    DRAINING = "draining"  #: the lane ends at H, the feed delivers from there on


class Input(StrEnum):
    """What happens to it."""

    DETACH = "detach"  #: trouble, a pause, a rewind; it was created elsewhere in time
    WRITTEN = "written"  #: Postgres has the row, as it is now
    READ = "read"  #: a scanner takes it along
    REST = "rest"  #: it must not be read: paused, or it failed and there is no room for rows
    FLIP = "flip"  #: its position is the feed's, and nothing speaks against it
    DRAINED = "drained"  #: everything below H is settled, H is committed, and the row is deleted


TABLE: dict[tuple[State, Input], State] = {
    (State.ATTACHED, Input.DETACH): State.DETACHING,
    (State.DETACHING, Input.WRITTEN): State.DETACHED,
    (State.DETACHED, Input.READ): State.CATCHING_UP,
    # What a lane holds is covered already; what it had in line is read again from its cursor.
    (State.DETACHED, Input.DETACH): State.DETACHED,
    (State.CATCHING_UP, Input.DETACH): State.DETACHED,
    (State.CATCHING_UP, Input.REST): State.DETACHED,
    (State.CATCHING_UP, Input.FLIP): State.DRAINING,
    # The row covers what lies below H alone: it has to be written anew before it covers the rest.
    (State.DRAINING, Input.DETACH): State.DETACHING,
    (State.DRAINING, Input.DRAINED): State.ATTACHED,
}


def step(state: State, given: Input) -> State:
    """Return the state after *given*. What doesn't concern a state leaves it: answers come late."""
    return TABLE.get((state, given), state)
