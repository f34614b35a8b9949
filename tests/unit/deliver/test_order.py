"""Lines of keys: what goes out, in which order, whatever becomes of what is before it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.deliver.order import Order
from services.deliver.outbox import Load, Queued
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.retries import KeyRow, LineKey

PARTITION = Partition("planner.events", 0)
ID = SubscriptionId("5e208446c97efa37d4830b0c")


def a_delivery(offset: int, key: str = "a", *, epoch: int = 1) -> Delivery:
    return Delivery(
        position=Position(PARTITION, offset),
        epoch=epoch,
        subscription_id=ID,
        event_id=f"{offset:024x}",
        type="plan.created",
        body=b"{}",
        content_type="application/json",
        key=key,
        project_id="p",
        timestamp_ms=0,
        order=key,
    )


def every(_: LineKey) -> bool:
    return True


def queued(delivery: Delivery) -> Queued:
    return Queued(delivery, 0.0, Load())


def put(order: Order, offset: int, key: str = "a", *, epoch: int = 1) -> int | None:
    """Put a delivery in line; return the offset that goes out."""
    freed = order.put(queued(a_delivery(offset, key, epoch=epoch)))
    return None if freed is None else freed.delivery.position.offset


def end(order: Order, offset: int, key: str = "a") -> int | None:
    freed = order.end(a_delivery(offset, key))
    return None if freed is None else freed.delivery.position.offset


def test_the_first_of_a_key_goes_out_and_the_next_when_it_is_through() -> None:
    order = Order()
    assert put(order, 1) == 1
    assert put(order, 2) is None
    assert put(order, 3, "b") == 3
    assert end(order, 1) == 2
    assert end(order, 2) is None
    assert end(order, 3, "b") is None
    assert len(order) == 0


def test_what_failed_holds_its_key_until_it_is_through() -> None:
    order = Order()
    put(order, 1)
    order.began(a_delivery(1))
    assert order.landed(a_delivery(1)) is None  # it failed: a row
    assert put(order, 2) is None
    assert put(order, 1) == 1  # due again
    assert end(order, 1) == 2


def test_a_row_that_waits_for_its_turn_is_wanted_when_it_comes_and_not_before() -> None:
    order = Order()
    put(order, 1)
    put(order, 2)
    put(order, 3)
    taken = list(order.take_back(None, lambda each: each.delivery.position.offset == 2))
    assert [each.delivery.position.offset for each in taken] == [2]
    order.leave(a_delivery(2))
    assert order.wanting_rows(9, wanted=every) == []
    assert end(order, 1) is None, "the third doesn't overtake the second"
    assert order.wanting_rows(9, wanted=every) == [LineKey(ID, PARTITION, "a")]
    assert put(order, 2) == 2
    assert end(order, 2) == 3


def test_rows_that_cannot_come_now_do_not_hold_up_those_of_other_keys() -> None:
    order = Order()
    rows = [KeyRow(ID, f"{n:02}", n, behind=True) for n in range(30)]
    order.load(PARTITION, 1, rows)
    told = [order.wanting_rows(10, wanted=every) for _ in range(3)]
    assert sorted(line.key for some in told for line in some) == [row.key for row in rows]
    assert order.wanting_rows(10, wanted=every) == told[0]
    assert order.wanting_rows(10, wanted=lambda line: line.key == "29") == [
        LineKey(ID, PARTITION, "29")
    ]


def test_a_new_owner_holds_the_keys_of_the_rows_it_finds() -> None:
    order = Order()
    rows = [KeyRow(ID, "a", 5, behind=True), KeyRow(ID, "a", 3, behind=False)]
    order.load(PARTITION, 2, rows)
    assert put(order, 9, epoch=2) is None
    assert order.may_fetch(a_delivery(3, epoch=2))
    assert not order.may_fetch(a_delivery(5, epoch=2))
    assert order.wanting_rows(9, wanted=every) == [], "the first is due by time"
    assert put(order, 3, epoch=2) == 3


def test_what_is_in_flight_of_the_epoch_before_is_waited_for() -> None:
    order = Order()
    put(order, 1)
    order.began(a_delivery(1))
    order.load(PARTITION, 2, [])
    assert put(order, 1, epoch=2) is None
    assert put(order, 2, epoch=2) is None
    freed = order.landed(a_delivery(1))
    assert freed is not None
    assert freed.delivery.position.offset == 1
    assert freed.delivery.epoch == 2


def test_a_late_answer_of_an_epoch_that_is_over_frees_nothing() -> None:
    order = Order()
    order.load(PARTITION, 2, [KeyRow(ID, "a", 1, behind=False)])
    assert put(order, 2, epoch=2) is None
    assert order.end(a_delivery(1, epoch=1)) is None
    assert order.wanting_rows(9, wanted=every) == []
    assert not order.may_fetch(a_delivery(2, epoch=2))


class Lines(RuleBasedStateMachine):
    """One key against a model: a list of what is not through."""

    def __init__(self) -> None:
        super().__init__()
        self.order = Order()
        self.offset = 0
        self.unfinished: list[int] = []
        self.out: int | None = None
        self.flying = False
        self.rows: set[int] = set()
        self.due: set[int] = set()

    def take(self, freed: Queued | None) -> None:
        if freed is not None:
            offset = freed.delivery.position.offset
            assert self.out is None, "two at once"
            assert offset == self.unfinished[0], "it overtakes"
            self.out = offset

    @rule(gap=st.integers(1, 3))
    def arrives(self, gap: int) -> None:
        self.offset += gap
        self.unfinished.append(self.offset)
        self.take(self.order.put(queued(a_delivery(self.offset))))

    @precondition(lambda self: self.out is not None and not self.flying)
    @rule()
    def begins(self) -> None:
        self.order.began(a_delivery(self.out or 0))
        self.flying = True

    @precondition(lambda self: self.flying)
    @rule(ok=st.booleans())
    def answers(self, ok: bool) -> None:  # noqa: FBT001 - Hypothesis gives it
        assert self.out is not None
        offset, self.out, self.flying = self.out, None, False
        self.take(self.order.landed(a_delivery(offset)))
        if ok:
            self.unfinished.remove(offset)
            self.take(self.order.end(a_delivery(offset)))
        else:
            self.due.add(offset)

    @rule(share=st.integers(1, 4))
    def waits_too_long(self, share: int) -> None:
        for each in list(self.order.take_back(None, lambda q: _in(q, share))):
            self.order.leave(each.delivery)
            self.rows.add(each.delivery.position.offset)

    @precondition(lambda self: bool(self.due))
    @rule()
    def comes_due(self) -> None:
        offset = self.due.pop()
        assert self.order.may_fetch(a_delivery(offset)), "only the first was ever tried"
        self.take(self.order.put(queued(a_delivery(offset))))

    @rule()
    def is_fetched(self) -> None:
        for _ in self.order.wanting_rows(9, wanted=every):
            for offset in sorted(self.rows)[:3]:
                if self.order.may_fetch(a_delivery(offset)):
                    self.rows.discard(offset)
                    self.take(self.order.put(queued(a_delivery(offset))))

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Whatever is first is out, due by time, or wanted."""
        if self.unfinished:
            first = self.unfinished[0]
            wanted = self.order.wanting_rows(9, wanted=every)
            assert self.out == first or first in self.due or (first in self.rows and wanted)


def _in(each: Queued, share: int) -> bool:
    return each.delivery.position.offset % share == 0


Lines.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestLines = Lines.TestCase
