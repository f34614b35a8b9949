"""Who fails and who is well again: each step is told once, whoever of the workers saw it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store import (
    Floor,
    Park,
    PartitionStore,
    Remove,
    RetryStore,
    SubscriptionSource,
    Told,
    Troubled,
    TroubleStore,
)
from services.store.changes import PostgresSubscriptionSource
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
    partitions: PartitionStore
    source: SubscriptionSource
    subscribe: Callable[[], Awaitable[SubscriptionId]]
    unsubscribe: Callable[[SubscriptionId], Awaitable[None]]

    async def failed(
        self, id_: SubscriptionId, seconds: float, *, reason: str | None = None, counts: bool = True
    ) -> list[Told]:
        at = after(seconds)
        row = Troubled(id_, at, at if counts else None, reason)
        return list((await self.trouble.report_trouble([row], {}, now=at)).failing)

    async def succeeded(self, id_: SubscriptionId, seconds: float) -> list[SubscriptionId]:
        at = after(seconds)
        report = await self.trouble.report_trouble([], {id_: at}, now=at)
        return [told.subscription_id for told in report.recovered]

    async def troubled(self) -> set[SubscriptionId]:
        return set((await self.trouble.report_trouble([], {}, now=NOW)).troubled)


@pytest.fixture(params=["fake", "postgres"])
def dsn(request: pytest.FixtureRequest, template_database: str) -> str | None:  # noqa: ARG001 - started before the guards
    """None for the fake."""
    return None if request.param == "fake" else request.getfixturevalue("database")


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

    return Store(FakeTrouble(database), client, client, client, subscribe, unsubscribe)


def a_real(pool: Pool) -> Store:
    registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())

    async def subscribe() -> SubscriptionId:
        return await a_subscription(pool)

    async def unsubscribe(id_: SubscriptionId) -> None:
        assert await registrations.delete(id_, at=NOW)

    return Store(
        PostgresTrouble(pool=pool),
        PostgresRetries(pool=pool),
        PostgresPartitions(pool=pool),
        PostgresSubscriptionSource(pool=pool, cipher=a_cipher(), clock=CLOCK),
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
    assert await store.failed(id_, 60, reason="http_503") == [
        Told(id_, NOW, "http_503", 0, 0, None)
    ]
    assert await store.failed(id_, 61, reason="timeout") == []
    assert await store.succeeded(id_, 62) == [id_]
    assert await store.succeeded(id_, 63) == []
    (again,) = await store.failed(id_, 64, reason="timeout")
    assert (again.since, again.reason) == (after(64), "timeout")


async def test_of_workers_that_see_it_at_once_one_tells(store: Store) -> None:
    id_ = await store.subscribe()
    told = await asyncio.gather(*(store.failed(id_, 1, reason="http_500") for _ in range(4)))
    assert sum(map(len, told)) == 1


async def test_it_has_recovered_only_when_nothing_waits_any_more(store: Store) -> None:
    id_ = await store.subscribe()
    epoch = (await store.partitions.assign({EVENTS: Floor(0, 0)}, worker="w0"))[EVENTS].epoch
    delivery = a_delivery(id_, epoch=epoch)
    await store.retries.write([Park(delivery, after(300), None)])
    (told,) = await store.failed(id_, 0, reason="http_503")
    assert (told.backlog, told.oldest_ms) == (1, delivery.timestamp_ms)
    assert await store.succeeded(id_, 1) == []
    assert await store.troubled() == {id_}
    await store.retries.write([Remove(delivery)])
    report = await store.trouble.report_trouble([], {}, now=after(2))
    assert [told.subscription_id for told in report.recovered] == [id_]


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
    await store.source.disable(off, reason="gone", at=after(1))
    await store.unsubscribe(deleted)
    assert await store.troubled() == set()
    for id_ in (off, deleted):
        assert await store.failed(id_, 2, reason="http_410") == []
    assert await store.troubled() == set()
