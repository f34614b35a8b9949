"""An event with very many subscribers fills no memory, and those who take it are sent the next."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from services.deliver.outboxes import Outboxes
from services.dispatch.consume import Consumer
from services.dispatch.detach import Detaching
from services.dispatch.limits import Limits
from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Batch, Partition, Position, Record
from services.kernel.subscription import Subscription
from services.lanes.transitions import State
from tests.support.factories import a_subscription
from tests.support.virtual_time import VirtualClock, run_virtually

PARTITION = Partition("planner.events", 0)
LIMITS = Limits(window_deliveries=1_000, slice_records=200, slice_deliveries=100)
SUBSCRIPTIONS = [a_subscription(id_=f"{n:024x}") for n in range(100)]
WELL = SUBSCRIPTIONS[0]


class Story:
    """A worker's feed, cut down to what its windows need: all events go to all subscriptions."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.partitions = OwnedPartitions()
        self.owned = self.partitions.add(PARTITION)
        self.owned.loaded = True
        self.outboxes = Outboxes(
            sender=self,
            on_attempt=self.landed,
            clock=self.clock,
            chance=lambda: 0.0,
            max_in_flight=2_000,
            max_in_flight_per_subscription=64,
        )
        self.detaching = Detaching(
            partitions=self.partitions,
            outboxes=self.outboxes,
            parking=cast("Any", SimpleNamespace(holds=lambda _: False)),
            known={each.id: each for each in SUBSCRIPTIONS}.get,
            clock=self.clock,
            window_open=10_000,
            window_deliveries=LIMITS.window_deliveries,
            hold_seconds=30.0,
        )
        self.next_offset = 0
        self.most_pairs = 0
        self.acknowledged: list[int] = []

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, waited: float
    ) -> Attempt:
        """Send: one receiver answers, the others never do."""
        del delivery, waited
        began = self.clock.monotonic()
        await self.clock.sleep(0.01 if subscription is WELL else 3_600)
        return Attempt(outcome=Outcome.OK, started_at=began, seconds=0.01, status=200)

    def landed(self, delivery: Delivery, attempt: Attempt) -> None:
        del attempt
        self.acknowledged.append(delivery.position.offset)
        self.owned.settle(delivery.position.offset, delivery.subscription_id, 0)

    async def poll(self, *, limit: int, wait: timedelta) -> Mapping[Partition, Batch]:
        """Be a log that goes on for ever, 1,000 events a second."""
        await self.clock.sleep(wait.total_seconds())
        count = min(limit, round(1_000 * wait.total_seconds()))
        first, self.next_offset = self.next_offset, self.next_offset + count
        records = [
            Record(position=Position(PARTITION, offset), timestamp_ms=0, key=None, value=b"{}")
            for offset in range(first, self.next_offset)
        ]
        return {PARTITION: Batch(records, self.next_offset)}

    def fan_out(self, owned: Owned, records: Sequence[Record], *, most: int) -> int:
        """Be the flow."""
        enough = owned.tracker.opened + most
        for n, record in enumerate(records, start=1):
            offset = record.position.offset
            for subscription in SUBSCRIPTIONS:
                lane = owned.lanes.get(subscription.id)
                if lane is None or lane.state is State.DETACHING:
                    owned.open(offset, subscription.id, 0)
                if lane is None:
                    delivery = a_delivery(subscription, record.position)
                    self.outboxes.deliver(delivery, subscription)
            owned.tracker.matched(offset)
            self.most_pairs = max(self.most_pairs, self.partitions.pairs)
            if owned.tracker.opened >= enough:
                return n
        return len(records)

    async def write_lanes(self) -> None:
        """Be Postgres: what has left the feed has its row a moment later."""
        while True:
            await self.clock.sleep(0.1)
            self.detaching.written(self.owned, list(self.owned.lanes.values()))

    async def run(self, seconds: float, *, relieved: bool) -> None:
        async def prepare() -> None:
            await asyncio.sleep(0)

        def nothing(_: object) -> None:
            pass

        member = SimpleNamespace(poll=self.poll, pause=nothing, resume=nothing)
        consumer = Consumer(
            membership=cast("Any", SimpleNamespace(member=member)),
            partitions=self.partitions,
            flow=cast("Any", SimpleNamespace(deliver=self.fan_out)),
            waits=lambda: False,
            prepare=prepare,
            clock=self.clock,
            limits=LIMITS,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self.outboxes.run()),
                group.create_task(consumer.run(asyncio.Event())),
                group.create_task(self.write_lanes()),
            ]
            if relieved:
                tasks.append(group.create_task(self.detaching.run()))
            await self.clock.sleep(seconds)
            for task in tasks:
                task.cancel()


async def a_story(*, relieved: bool) -> Story:
    story = Story()
    await story.run(9, relieved=relieved)
    return story


def a_delivery(subscription: Subscription, position: Position) -> Delivery:
    return Delivery(
        position=position,
        epoch=0,
        subscription_id=subscription.id,
        event_id=f"{position.offset:024x}",
        type="plan.created",
        body=b"{}",
        content_type="application/json",
        key=None,
        project_id="p",
        timestamp_ms=0,
    )


def test_as_many_deliveries_are_open_as_may_be_and_a_slice_more() -> None:
    story = run_virtually(a_story(relieved=False))
    most = LIMITS.window_deliveries + LIMITS.slice_deliveries
    assert LIMITS.window_deliveries <= story.most_pairs <= most


def test_who_takes_nothing_leaves_the_feed_and_who_takes_all_gets_the_next() -> None:
    story = run_virtually(a_story(relieved=True))
    assert set(story.owned.lanes) == {each.id for each in SUBSCRIPTIONS if each is not WELL}
    assert len(story.acknowledged) > 1_000, "they go on"
    assert len(set(story.acknowledged)) == len(story.acknowledged), "each once"
    assert story.most_pairs <= LIMITS.window_deliveries + LIMITS.slice_deliveries
