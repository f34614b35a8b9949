"""An event with very many subscribers fills no memory, and those who take it are sent the next."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import orjson

from services.deliver.outboxes import Outboxes
from services.dispatch.consume import Consumer
from services.dispatch.detach import Detaching
from services.dispatch.eligible import Eligible
from services.dispatch.flow import Flow
from services.dispatch.limits import Limits
from services.dispatch.owned import OwnedPartitions
from services.dispatch.relief import Relief
from services.feed.decode import Decoder
from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Batch, Partition
from services.kernel.subscription import Subscription
from services.match.index import Match
from tests.support.factories import a_body, a_record, a_subscription
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
        known = {each.id: each for each in SUBSCRIPTIONS}.get
        self.eligible = Eligible(
            outboxes=self.outboxes, known=known, clock=self.clock, hold_seconds=30.0
        )
        self.detaching = Detaching(
            partitions=self.partitions,
            outboxes=self.outboxes,
            parking=cast("Any", SimpleNamespace(holds=lambda _: False)),
            eligible=self.eligible,
            clock=self.clock,
        )
        self.relief = Relief(
            partitions=self.partitions,
            outboxes=self.outboxes,
            eligible=self.eligible,
            detaching=self.detaching,
            known=known,
            clock=self.clock,
            window_open=10_000,
            window_deliveries=LIMITS.window_deliveries,
        )
        self.next_offset = 0
        self.most_pairs = 0
        self.acknowledged: list[int] = []

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, waited: float
    ) -> Attempt:
        """Send: one receiver answers, the others never do."""
        del delivery, waited
        self.most_pairs = max(self.most_pairs, self.partitions.pairs)
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
        value = orjson.dumps(a_body())
        records = [
            a_record(value, offset=offset, partition=PARTITION)
            for offset in range(first, self.next_offset)
        ]
        return {PARTITION: Batch(records, self.next_offset)}

    def flow(self) -> Flow:
        """Return the real flow, with what takes no part in this left out."""

        def nothing(*_: object) -> None:
            pass

        class Quiet(SimpleNamespace):
            note = check = staticmethod(nothing)

        matches = [Match(each, "plan.created") for each in SUBSCRIPTIONS]
        quiet: Any = Quiet()
        return Flow(
            owner=self.partitions,
            decoder=Decoder(max_bytes=1_000),
            conformity=quiet,
            subscriptions=cast(
                "Any",
                SimpleNamespace(is_ready=lambda _: True, match=lambda _: matches),
            ),
            outboxes=self.outboxes,
            batches=quiet,
            latest=quiet,
            expiry=quiet,
            parking=quiet,
            eligible=self.eligible,
            detaching=self.detaching,
            quarantine=quiet,
            replays=quiet,
            masters=quiet,
            counts=quiet,
            health=quiet,
            troubles=quiet,
            attempts=quiet,
            schedule=(),
            max_body_bytes=1_000,
            clock=self.clock,
            chance=lambda: 0.0,
        )

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
            flow=self.flow(),
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
                tasks.append(group.create_task(self.relief.run()))
            await self.clock.sleep(seconds)
            for task in tasks:
                task.cancel()


async def a_story(*, relieved: bool) -> Story:
    story = Story()
    await story.run(9, relieved=relieved)
    return story


def test_as_many_deliveries_are_open_as_may_be_and_a_slice_more() -> None:
    story = run_virtually(a_story(relieved=False))
    most = LIMITS.window_deliveries + LIMITS.slice_deliveries
    assert LIMITS.window_deliveries - len(SUBSCRIPTIONS) <= story.most_pairs <= most


def test_who_takes_nothing_leaves_the_feed_and_who_takes_all_gets_the_next() -> None:
    story = run_virtually(a_story(relieved=True))
    assert set(story.owned.lanes) == {each.id for each in SUBSCRIPTIONS if each is not WELL}
    assert len(story.acknowledged) > 1_000, "they go on"
    assert len(set(story.acknowledged)) == len(story.acknowledged), "each once"
    assert story.most_pairs <= LIMITS.window_deliveries + LIMITS.slice_deliveries
