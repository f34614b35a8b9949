"""Positions with a limit of age: which of them is sent, and what goes in the place of the others."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.dispatch.expiry import Expiry
from services.dispatch.lane import Lane
from services.dispatch.owned import OwnedPartitions
from services.feed.settled_map import SettledMap
from services.kernel.delivery import Delivery
from services.kernel.event import Event, Position
from services.kernel.lane import Reason
from services.kernel.subscription import Grouping, Mode, Subscription
from services.lanes.transitions import State
from tests.support.factories import PARTITION, a_subscription, an_event

LIMITED = a_subscription("*", "vehicle.position", max_age_seconds=(("vehicle.position", 60.0),))


class Clock:
    """Stands where it is put."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def time(self) -> float:
        return self.at


class Line:
    """An outbox, as far as it is asked, and the lines that batches are made of."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []
        self.room = True

    def has_room(self, _: str) -> bool:
        return self.room

    def deliver(self, delivery: Delivery, _: Subscription) -> None:
        self.sent.append((delivery.position.offset, delivery.conflated))

    def add(self, _: object, __: object, delivery: Delivery, subscription: Subscription) -> None:
        self.deliver(delivery, subscription)


class Rows:
    """Retry rows that were given up."""

    def __init__(self) -> None:
        self.superseded: list[int] = []

    def supersede(self, delivery: Delivery) -> None:
        self.superseded.append(delivery.position.offset)


class Read:
    """A lane that reads what it is told to."""

    def __init__(self, subscription: Subscription = LIMITED) -> None:
        self.subscription = subscription
        self.clock, self.line, self.rows = Clock(), Line(), Rows()
        self.partitions = OwnedPartitions()
        self.owned = self.partitions.add(PARTITION)
        self.owned.loaded = True
        self.owned.tracker.register((), next_offset=1_000)
        self.lane = self.owned.lanes[subscription.id] = Lane(
            subscription.id,
            known=SettledMap(-1, 0, frozenset()),
            reason=Reason.MAX_AGE,
            since=datetime.now(UTC),
            state=State.CATCHING_UP,
        )
        self.expiry = Expiry(
            partitions=self.partitions,
            outboxes=cast(Any, self.line),
            batches=cast(Any, self.line),
            parking=cast(Any, self.rows),
            known=lambda _: self.subscription,
            clock=cast(Any, self.clock),
        )

    def reads(self, offset: int, *, taken: float, key: str | None = "van") -> bool:
        event = a_position(offset, taken=taken, key=key)
        self.lane.take(offset, 2)
        delivery = a_delivery(event)
        return self.expiry.add(self.owned, self.lane, event, delivery, self.subscription)

    def reaches_the_end(self) -> None:
        self.lane.pass_to(1_000)
        self.expiry.go_on(a_delivery(a_position(0, taken=0.0)))

    @property
    def open(self) -> list[int]:
        return sorted(self.lane.tracker.known.open)


def a_position(offset: int, *, taken: float, key: str | None = "van") -> Event:
    at = datetime.fromtimestamp(taken, tz=UTC).isoformat()
    event = an_event("vehicle.position", key=key, offset=offset, created_at=at)
    return replace(event, timestamp_ms=round(taken * 1000))


def a_delivery(event: Event) -> Delivery:
    return Delivery(
        position=Position(PARTITION, event.position.offset),
        epoch=0,
        subscription_id=LIMITED.id,
        event_id=event.id,
        type=event.type,
        body=b"{}",
        content_type="application/json",
        key=event.key,
        project_id=event.project_id,
        timestamp_ms=event.timestamp_ms,
    )


@pytest.mark.parametrize("mode", [Mode.EACH, Mode.BATCH])
def test_what_is_young_enough_is_sent_each(mode: Mode) -> None:
    read = Read(replace(LIMITED, delivery=Grouping(mode)))
    for offset in range(3):
        read.reads(offset, taken=940.0 + offset)
    assert read.line.sent == [(0, 0), (1, 0), (2, 0)]
    assert read.open == [0, 1, 2]


def test_a_backlog_is_folded_into_the_next_that_is_young_enough() -> None:
    read = Read()
    for offset, taken in enumerate([700.0, 800.0, 900.0, 990.0, 995.0]):
        read.reads(offset, taken=taken)
    assert read.line.sent == [(3, 3), (4, 0)]
    assert read.open == [3, 4]


def test_the_last_that_is_known_of_a_vehicle_is_sent_however_old_it_is() -> None:
    read = Read()
    read.reads(0, taken=700.0)
    read.reads(1, taken=800.0)
    read.reads(2, taken=600.0, key="another")
    assert (read.line.sent, read.open) == ([], [1, 2])
    read.reaches_the_end()
    assert read.line.sent == [(1, 1), (2, 0)]


def test_what_becomes_too_old_in_line_gives_way_to_what_came_meanwhile() -> None:
    read = Read()
    read.line.room = False
    for offset in range(3):
        read.reads(offset, taken=990.0 + 40 * offset)
    read.clock.at = 1_100.0
    read.line.room = True
    read.reaches_the_end()
    assert read.line.sent == [(2, 2)]


def test_what_a_phone_brings_late_takes_no_place_of_what_was_sent() -> None:
    read = Read()
    read.reads(0, taken=990.0)
    read.reads(1, taken=500.0)
    read.reaches_the_end()
    assert (read.line.sent, read.open) == ([(0, 0)], [0])


def test_reports_and_what_has_no_vehicle_have_no_limit() -> None:
    read = Read()
    assert not read.reads(0, taken=1.0, key=None)
    report = an_event("stop.report.completed", key="plan", offset=1)
    assert not read.expiry.add(read.owned, read.lane, report, a_delivery(report), read.subscription)


def test_a_row_is_given_up_when_it_is_too_old_and_a_newer_one_was_sent() -> None:
    read = Read()
    row = a_delivery(a_position(0, taken=930.0))
    assert not read.expiry.is_over(row, LIMITED), "nothing newer is known"
    read.reads(1, taken=935.0)
    read.reaches_the_end()
    young = a_delivery(a_position(0, taken=941.0))
    assert not read.expiry.is_over(young, LIMITED), "it is young enough"
    assert read.expiry.is_over(row, LIMITED)
    assert read.rows.superseded == [0]


def test_what_is_read_again_waits_again() -> None:
    read = Read()
    read.reads(0, taken=700.0)
    assert read.lane.held_back == 1
    read.lane.start_over(SettledMap(-1, 0, frozenset()), {})
    read.reaches_the_end()
    assert (read.line.sent, read.lane.held_back) == ([], 0)


def test_what_waits_for_a_newer_one_leaves_room_for_what_is_sent() -> None:
    read = Read()
    for offset in range(300):
        read.reads(offset, taken=700.0, key=f"van {offset}")
    assert read.lane.held_back == 300
    assert not read.lane.is_full
    assert len(read.open) == 300
