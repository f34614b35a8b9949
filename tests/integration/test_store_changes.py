"""Workers know all subscriptions: as they were registered, and as they change."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import pytest

from services.dispatch.subscriptions import Subscriptions
from services.kernel.clock import SystemClock
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import (
    Grouping,
    Mode,
    OnExhausted,
    OrderBy,
    Ordered,
    Profile,
    SignatureScheme,
    SigningKey,
    Status,
    Subscription,
)
from services.match.index import Matcher
from services.store.changes import PostgresSubscriptionSource
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from tests.support.databases import connected
from tests.support.eventually import eventually
from tests.support.rows import (
    NOW,
    PROJECT,
    a_cipher,
    a_pool,
    a_project,
    a_registration,
    a_secret,
    a_subscription,
    an_id,
    everybody,
)
from tests.support.tasks import running

Heard: TypeAlias = list[Collection[SubscriptionId] | None]
CLOCK = SystemClock()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with a_pool(database) as pool:
        await a_project(pool)
        yield pool


@pytest.fixture
def source(pool: Pool) -> PostgresSubscriptionSource:
    return PostgresSubscriptionSource(pool=pool, cipher=a_cipher(), clock=CLOCK)


@pytest.fixture
def registrations(pool: Pool) -> PostgresRegistrations:
    return PostgresRegistrations(pool=pool, cipher=a_cipher())


async def changed(store: PostgresRegistrations, id_: SubscriptionId, **fields: object) -> None:
    before = await store.get(id_)
    assert before is not None
    assert await store.replace(replace(before, **fields), version=before.version)


@asynccontextmanager
async def listening(source: PostgresSubscriptionSource) -> AsyncIterator[Heard]:
    """Listen, and yield what is heard, emptied of the first full load."""
    heard: Heard = []

    async def listen() -> None:
        async for ids in source.changes():
            heard.append(ids)

    async with running(listen()):
        await eventually(lambda: heard == [None])
        heard.clear()
        yield heard


async def test_a_worker_reads_a_subscription_as_it_was_registered(
    source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    registration = a_registration(
        types=("plan.*", "service.report"),
        headers=(("Authorization", "Bearer plaça"), ("X-Site", "7")),
        profile=Profile.HIGHWAY_V1,
        expand=("stops",),
        max_in_flight=3,
        timeout_seconds=2.5,
        retry_schedule=(1.0, 2.5),
        rate_limit=2.5,
        ordered=Ordered.KEY,
        order_by=OrderBy.ROUTE,
        on_exhausted=OnExhausted.BLOCK,
        delivery=Grouping(Mode.BATCH, max_events=100),
        filter='{"data":{"status":["finished"]}}',
        max_age_seconds=(("vehicle.position", 60.0),),
        status=Status.PAUSED,
        version=4,
    )
    secret = a_secret(SignatureScheme.V1A)
    await registrations.add([(registration, secret)])
    assert await everybody(source) == [
        Subscription(
            id=registration.id,
            project_id=PROJECT,
            url=registration.url,
            types=registration.types,
            keys=(secret.key,),
            profile=Profile.HIGHWAY_V1,
            expand=("stops",),
            headers=registration.headers,
            status=Status.PAUSED,
            max_in_flight=3,
            timeout_seconds=2.5,
            retry_schedule=(1.0, 2.5),
            rate_limit=2.5,
            ordered=Ordered.KEY,
            order_by=OrderBy.ROUTE,
            on_exhausted=OnExhausted.BLOCK,
            delivery=Grouping(Mode.BATCH, max_events=100),
            filter='{"data":{"status":["finished"]}}',
            max_age_seconds=(("vehicle.position", 60.0),),
            begins_ms=int(NOW.timestamp() * 1000),
            version=4,
        )
    ]


async def test_while_a_secret_is_rotated_both_sign_newest_first_and_an_ended_one_does_not(
    source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    registration = a_registration()
    first, second, third = (a_secret(at=NOW + timedelta(seconds=n)) for n in range(3))
    await registrations.add([(registration, first)])
    now = CLOCK.now()
    await registrations.rotate(registration.id, second, previous_expires_at=now)
    ends = now + timedelta(hours=24)
    await registrations.rotate(registration.id, third, previous_expires_at=ends)
    (loaded,) = await everybody(source)
    assert loaded.keys == (
        third.key,
        SigningKey(SignatureScheme.V1, second.key.key, ends.timestamp()),
    )


async def test_deleted_subscriptions_are_not_loaded(
    pool: Pool, source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    kept, deleted = await a_subscription(pool), await a_subscription(pool)
    await registrations.delete(deleted, at=NOW)
    assert [row.id for row in await everybody(source)] == [kept]
    asked = [kept, deleted, SubscriptionId(an_id())]
    assert [row.id for row in await source.load(asked)] == [kept]
    assert await source.load([]) == []


async def test_each_kind_of_change_is_heard_of_at_once(
    pool: Pool, source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    async with listening(source) as heard:
        id_ = await a_subscription(pool)
        await eventually(lambda: heard == [[id_]])
        heard.clear()
        await changed(registrations, id_, url="https://example.com/other")
        await eventually(lambda: heard == [[id_]])
        heard.clear()
        await registrations.rotate(id_, a_secret(), previous_expires_at=NOW)
        await eventually(lambda: heard == [[id_]])
        heard.clear()
        await source.disable(id_, reason="gone", at=NOW)
        await eventually(lambda: heard == [[id_]])
        heard.clear()
        await registrations.delete(id_, at=NOW)
        await eventually(lambda: heard == [[id_]])


async def test_a_burst_of_changes_is_heard_of_together(
    source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    rows = [(a_registration(), a_secret()) for _ in range(20)]
    async with listening(source) as heard:
        await registrations.add(rows)
        await eventually(lambda: heard)
    (ids,) = heard
    assert ids is not None
    assert set(ids) == {registration.id for registration, _ in rows}


async def test_a_change_that_was_taken_back_is_not_heard_of(
    pool: Pool, database: str, source: PostgresSubscriptionSource
) -> None:
    id_ = await a_subscription(pool)
    async with listening(source) as heard, connected(database) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("update subscriptions set url = 'https://example.com/no'")
        await transaction.rollback()
        await connection.execute("select pg_notify('webhooks_subscriptions', 'the next')")
        await eventually(lambda: heard)
    assert heard == [["the next"]]
    assert (await source.load([id_]))[0].url == "https://example.com/hook"


async def test_after_a_cut_line_everything_is_read_again(
    pool: Pool, database: str, source: PostgresSubscriptionSource
) -> None:
    """What changed while nobody listened was notified to nobody."""
    async with listening(source) as heard:
        async with connected(database) as connection:
            cut = await connection.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and query ilike 'listen%'"
            )
        assert len(cut) == 1
        await eventually(lambda: heard == [None])
        id_ = await a_subscription(pool)
        await eventually(lambda: heard == [None, [id_]])


async def test_a_change_whose_notification_was_lost_is_known_after_the_next_full_read(
    pool: Pool, database: str, source: PostgresSubscriptionSource
) -> None:
    changing, rotated = await a_subscription(pool), await a_subscription(pool)
    deleted = await a_subscription(pool)
    told: list[tuple[Subscription | None, Subscription | None]] = []
    known = Subscriptions(
        source=source,
        matcher=Matcher(),
        clock=CLOCK,
        reload_seconds=0.05,
        on_change=lambda before, after: told.append((before, after)),
    )
    await known.load()
    registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())
    secret = a_secret(at=NOW + timedelta(seconds=1))
    async with connected(database) as connection, running(known.follow()), running(known.reread()):
        for table in ("subscriptions", "secrets"):
            await connection.execute(f"alter table {table} disable trigger {table}_notify")
        created = await a_subscription(pool)
        await changed(registrations, changing, url="https://example.com/other")
        await registrations.rotate(rotated, secret, previous_expires_at=NOW)
        await registrations.delete(deleted, at=NOW)
        await eventually(lambda: known.get(created))
        await eventually(lambda: (of := known.get(changing)) and of.url.endswith("/other"))
        await eventually(lambda: (of := known.get(rotated)) and of.keys == (secret.key,))
        await eventually(lambda: known.get(deleted) is None)
    pairs = [(before and before.id, after and after.id) for before, after in told]
    expected = [(None, created), (changing, changing), (rotated, rotated), (deleted, None)]
    assert sorted(pairs, key=str) == sorted(expected, key=str), "what did not change is not told of"


async def test_only_an_active_subscription_is_disabled_and_once(
    pool: Pool, source: PostgresSubscriptionSource, registrations: PostgresRegistrations
) -> None:
    active = await a_subscription(pool)
    paused = await a_subscription(pool, status=Status.PAUSED)
    assert await source.disable(active, reason="gone", at=NOW)
    assert not await source.disable(active, reason="gone", at=NOW)
    assert not await source.disable(paused, reason="gone", at=NOW)
    shown = await registrations.get(active)
    assert shown is not None
    assert (shown.status, shown.status_reason, shown.status_at) == (Status.DISABLED, "gone", NOW)
    kept = await registrations.get(paused)
    assert kept is not None
    assert kept.status is Status.PAUSED
