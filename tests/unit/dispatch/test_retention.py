"""Who comes near the edge of the log is warned once at half of the way, and we are alarmed later."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from services.dispatch.lane import Lane
from services.dispatch.owned import OwnedPartitions
from services.dispatch.retention import Retention
from services.feed.settled_map import SettledMap
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.kernel.operation import Operation
from services.kernel.subscription import Status
from services.lanes.edge import used
from services.observe import metrics
from tests.support.factories import a_subscription
from tests.support.fake_kafka import FakeKafka, FakeOffsets
from tests.support.virtual_time import VirtualClock, run_virtually

EVENTS = Partition("planner.events", 0)
ID = SubscriptionId("5e208446c97efa37d4830b0c")


@pytest.mark.parametrize(("cursor", "share"), [(9, 80), (10, 50), (19, 50), (20, 0), (90, 0)])
def test_a_cursor_has_used_what_lies_between_it_and_the_youngest_record(
    cursor: int, share: int
) -> None:
    assert used(cursor, {50: 20, 80: 10}) == share
    assert used(cursor, {}) == 0


class Told:
    """An operator's ear."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def write(self, operation: Operation) -> None:
        self.reasons.append(operation.data["reason"])


class Known:
    """One subscription."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def get(self, _: SubscriptionId) -> Any:  # noqa: ANN401 - as the retention asks
        return a_subscription("*", status=self.status)


async def look(ages: Mapping[int, float], status: Status = Status.ACTIVE) -> list[str]:
    """Look at a lane at offset 0 whose record is as old, in shares of the retention, at each time."""
    clock, kafka, told = VirtualClock(), FakeKafka({"planner.events": 1}), Told()
    kafka.retention = timedelta(hours=10)
    kafka.append(EVENTS, b"1", timestamp_ms=int(clock.time() * 1000))
    partitions = OwnedPartitions()
    owned = partitions.add(EVENTS)
    owned.loaded = True
    since = datetime.now(UTC)
    known = SettledMap(-1, 0, frozenset())
    owned.lanes[ID] = Lane(ID, known=known, reason=Reason.SLOW, since=since)
    watch = Retention(
        offsets=FakeOffsets(kafka),
        partitions=partitions,
        subscriptions=cast("Any", Known(status)),
        operations=cast("Any", told),
        clock=clock,
    )
    began = clock.time()
    for share in ages.values():
        await asyncio.sleep(max(0.0, began + share * 36_000 - clock.time()))
        await watch.look()
    return told.reasons


def test_its_owner_is_warned_once_and_we_are_alarmed() -> None:
    told = run_virtually(look({1: 0.2, 2: 0.55, 3: 0.6, 4: 0.85, 5: 0.9}))
    assert told == ["retention_50_percent", "retention_80_percent"]
    assert metrics.LANES_NEAR_EDGE[80]._value.get() == 1


def test_of_what_is_paused_there_is_a_warning_alone() -> None:
    assert run_virtually(look({1: 0.85, 2: 0.95}, Status.PAUSED)) == ["retention_50_percent"]
    assert metrics.LANES_NEAR_EDGE[80]._value.get() == 0
    assert metrics.LANES_NEAR_EDGE[50]._value.get() == 1
