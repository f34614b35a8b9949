"""Nobody waits for the next round of writing to get what it was promised."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from services.dispatch.lane import started
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.starts import Starts
from services.dispatch.wake import Wake
from services.feed.settled_map import SettledMap
from services.feed.tracker import Tracker
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Start, StartKind
from tests.support.virtual_time import VirtualClock

EVENTS = Partition("planner.events", 0)
ID = SubscriptionId("5e208446c97efa37d4830b0c")


async def test_what_was_promised_is_written_as_soon_as_its_partition_begins() -> None:
    wake = Wake()
    starts = Starts(
        store=cast("Any", None),
        gaps=cast("Any", None),
        partitions=OwnedPartitions(),
        detaching=cast("Any", SimpleNamespace(wake=wake)),
        clock=VirtualClock(),
    )
    owned, rang = Owned(EVENTS), asyncio.ensure_future(wake.wait())
    starts.begun(owned)
    await asyncio.sleep(0)
    assert not rang.done(), "there is nothing to write"
    owned.lanes[ID] = started(
        Start(subscription_id=ID, partition=EVENTS, offset=7, kind=StartKind.NEW),
        now=datetime.now(UTC),
    )
    starts.begun(owned)
    await asyncio.wait_for(rang, 1)


async def test_who_was_heard_of_while_its_partition_came_misses_nothing_that_the_owner_before_left() -> (
    None
):
    async def nothing(*_: object) -> list[Start]:
        return []  # the owner before took its promise over

    partitions = OwnedPartitions()
    starts = Starts(
        store=cast("Any", SimpleNamespace(starts=nothing)),
        gaps=cast("Any", None),
        partitions=partitions,
        detaching=cast("Any", SimpleNamespace(wake=Wake())),
        clock=VirtualClock(),
    )
    owned = partitions.add(EVENTS)
    owned.arrived.append(ID)
    left = SettledMap(-1, 15, frozenset({0, 9}))
    owned.tracker, owned.loaded = Tracker(start=0, settled=left), True
    starts.begun(owned)
    await starts.look_up([ID])
    lane = owned.lanes[ID]
    assert not lane.anew.is_awaited
    assert (lane.tracker.lowest, lane.tracker.known) == (0, left)
