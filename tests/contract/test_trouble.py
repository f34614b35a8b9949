"""Who fails and who is well again: each step is told once, whoever of the workers saw it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock, rfc3339
from services.kernel.ids import SubscriptionId, is_id
from services.kernel.lane import Keep, LaneRow, Reason
from services.kernel.operation import Operation
from services.kernel.ports.store.health import Troubled, TroubleStore
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.ports.store.operations import OperationStore
from services.kernel.ports.store.partitions import Floor, PartitionStore
from services.kernel.ports.store.retries import Park, Remove, RetryStore
from services.kernel.ports.store.sources import SubscriptionSource
from services.store.changes import PostgresSubscriptionSource
from services.store.lanes import PostgresLanes
from services.store.operations import PostgresOperations
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from services.store.retries import PostgresRetries
from services.store.trouble import PostgresTrouble
from tests.support.factories import a_subscription as a_known_subscription
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.fake_trouble import FakeTrouble
from tests.support.rows import (
    EVENTS,
    NOW,
    PROJECT,
    a_cipher,
    a_delivery,
    a_pool,
    a_project,
    a_subscription,
    after,
    an_id,
)

CLOCK = SystemClock()


@dataclass
class Store:
    """One of the two, and what else happens to a subscription."""

    trouble: TroubleStore
    retries: RetryStore
    lanes: LaneStore
    partitions: PartitionStore
    source: SubscriptionSource
    operations: OperationStore
    subscribe: Callable[[], Awaitable[SubscriptionId]]
    unsubscribe: Callable[[SubscriptionId], Awaitable[None]]

    async def failed(
        self, id_: SubscriptionId, seconds: float, *, reason: str | None = None, counts: bool = True
    ) -> list[Operation]:
        """Report a failure, and return what is told of it."""
        at = after(seconds)
        row = Troubled(id_, at, at if counts else None, reason)
        known = len(await self.told())
        report = await self.trouble.report_trouble([row], {}, now=at)
        if report.failing:
            assert report.failing == {id_: reason}
        return (await self.told())[known:] if report.failing else []

    async def succeeded(self, id_: SubscriptionId, seconds: float) -> list[SubscriptionId]:
        at = after(seconds)
        report = await self.trouble.report_trouble([], {id_: at}, now=at)
        return list(report.recovered)

    async def told(self) -> list[Operation]:
        """Return what is told, in order."""
        return [kept.operation for kept in await self.operations.waiting(limit=100)]

    async def troubled(self) -> set[SubscriptionId]:
        return set((await self.trouble.report_trouble([], {}, now=NOW)).troubled)


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[Store]:
    if dsn is None:
        yield a_fake()
        return
    async with a_pool(dsn) as pool:
        await a_project(pool)
        yield a_real(pool)


def a_fake() -> Store:
    database = FakeDatabase(clock=CLOCK)
    client = FakeStore(database)

    async def subscribe() -> SubscriptionId:
        subscription = a_known_subscription("*", id_=an_id(), version=1)
        database.subscribe(subscription)
        return subscription.id

    async def unsubscribe(id_: SubscriptionId) -> None:
        database.unsubscribe(id_)

    fake = FakeTrouble(database)
    return Store(fake, client, client, client, client, client, subscribe, unsubscribe)


def a_real(pool: Pool) -> Store:
    registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())

    async def subscribe() -> SubscriptionId:
        return await a_subscription(pool)

    async def unsubscribe(id_: SubscriptionId) -> None:
        assert await registrations.delete(id_, at=NOW)

    return Store(
        PostgresTrouble(pool=pool),
        PostgresRetries(pool=pool),
        PostgresLanes(pool=pool),
        PostgresPartitions(pool=pool),
        PostgresSubscriptionSource(pool=pool, cipher=a_cipher(), clock=CLOCK),
        PostgresOperations(pool=pool),
        subscribe,
        unsubscribe,
    )


async def test_a_single_failure_is_trouble_but_nobody_is_told(store: Store) -> None:
    id_ = await store.subscribe()
    assert await store.failed(id_, 0) == []
    assert await store.troubled() == {id_}
    assert await store.succeeded(id_, 1) == []
    assert await store.troubled() == set()


async def test_that_it_is_failing_is_told_once_until_it_has_recovered(store: Store) -> None:
    id_ = await store.subscribe()
    await store.failed(id_, 0)
    (failing,) = await store.failed(id_, 60, reason="http_503")
    assert (failing.type, failing.project_id, failing.subscription_id) == (
        "webhook.failing",
        PROJECT,
        id_,
    )
    assert (failing.data["reason"], failing.data["since"]) == ("http_503", rfc3339(NOW))
    assert await store.failed(id_, 61, reason="timeout") == []
    assert await store.succeeded(id_, 62) == [id_]
    assert await store.succeeded(id_, 63) == []
    (again,) = await store.failed(id_, 64, reason="timeout")
    assert (again.data["since"], again.data["reason"]) == (rfc3339(after(64)), "timeout")
    assert [told.type for told in await store.told()] == [
        "webhook.failing",
        "webhook.recovered",
        "webhook.failing",
    ]


async def test_of_workers_that_see_it_at_once_one_tells(store: Store) -> None:
    id_ = await store.subscribe()
    await asyncio.gather(*(store.failed(id_, 1, reason="http_500") for _ in range(4)))
    assert len(await store.told()) == 1


async def test_it_has_recovered_only_when_nothing_waits_any_more(store: Store) -> None:
    id_ = await store.subscribe()
    epoch = (await store.partitions.assign({EVENTS: Floor(0, 0)}, worker="w0"))[EVENTS].epoch
    delivery = a_delivery(id_, epoch=epoch)
    await store.retries.write([Park(delivery, after(300), None)])
    (told,) = await store.failed(id_, 0, reason="http_503")
    age = round(NOW.timestamp() - delivery.timestamp_ms / 1000, 1)
    assert (told.data["backlog"], told.data["oldest_age_seconds"]) == (1, age)
    assert await store.succeeded(id_, 1) == []
    assert await store.troubled() == {id_}
    await store.retries.write([Remove(delivery)])
    report = await store.trouble.report_trouble([], {}, now=after(2))
    assert list(report.recovered) == [id_]


@pytest.mark.parametrize("reason", list(Reason))
async def test_a_lane_that_is_no_usual_place_is_a_backlog_and_one_that_is_stays(
    store: Store, reason: Reason
) -> None:
    id_ = await store.subscribe()
    epoch = (await store.partitions.assign({EVENTS: Floor(0, 0)}, worker="w1"))[EVENTS].epoch
    lane = LaneRow(
        partition=EVENTS,
        subscription_id=id_,
        cursor=5,
        state="catching_up",
        reason=reason,
        since=NOW,
        cursor_at=NOW,
    )
    await store.lanes.change([Keep(epoch, lane)])
    await store.failed(id_, 0, reason="timeout")
    assert await store.succeeded(id_, 1) == ([id_] if reason.is_usual else [])


async def test_a_success_before_the_last_failure_is_no_recovery(store: Store) -> None:
    id_ = await store.subscribe()
    await store.failed(id_, 10, reason="reset")
    assert await store.succeeded(id_, 5) == []
    assert await store.troubled() == {id_}


async def test_days_of_failures_without_a_success_are_hopeless(store: Store) -> None:
    id_, served, once, streams = [await store.subscribe() for _ in range(4)]
    day = 86_400
    for n in range(6):
        await store.failed(id_, n * day)
        await store.failed(served, n * day)
        await store.failed(streams, n * day, counts=False)
    await store.failed(once, 0)  # and nothing was sent since
    await store.succeeded(served, 2 * day)
    assert list(await store.trouble.hopeless(timedelta(days=5))) == [id_]
    assert list(await store.trouble.hopeless(timedelta(days=6))) == []


async def test_what_is_switched_off_or_deleted_is_in_no_trouble_any_more(store: Store) -> None:
    off, deleted = await store.subscribe(), await store.subscribe()
    for id_ in (off, deleted):
        await store.failed(id_, 0)
    assert await store.source.disable(off, reason="gone", at=after(1))
    assert not await store.source.disable(off, reason="gone", at=after(1))
    (told,) = await store.told()
    assert (told.type, told.subscription_id) == ("webhook.disabled", off)
    assert (told.data["reason"], told.data["since"]) == ("http_410", rfc3339(NOW))
    await store.unsubscribe(deleted)
    assert await store.troubled() == set()
    for id_ in (off, deleted):
        assert await store.failed(id_, 2, reason="http_410") == []
    assert await store.troubled() == set()


async def test_what_is_told_waits_in_order_until_kafka_has_it(store: Store) -> None:
    ids = [await store.subscribe() for _ in range(3)]
    for n, id_ in enumerate(ids):
        await store.failed(id_, n, reason="timeout")
    first, *others = await store.operations.waiting(limit=2)
    assert [kept.operation.subscription_id for kept in (first, *others)] == ids[:2]
    assert first.id < others[0].id
    assert is_id(first.id)
    await store.operations.told([first.number])
    await store.operations.told([first.number])
    assert [told.subscription_id for told in await store.told()] == ids[1:]
    assert (await store.operations.waiting(limit=1))[0].id == others[0].id
