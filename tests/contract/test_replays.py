"""What a replay goes by in Postgres; the store of the simulation is held to the same."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.operation import replay_ended
from services.kernel.ports.store.operations import OperationStore
from services.kernel.ports.store.partitions import Floor, PartitionStore
from services.kernel.ports.store.replays import Advance
from services.kernel.replay import Range, Replay, ReplayState, Wanted
from services.store.operations import PostgresOperations
from services.store.partitions import PostgresPartitions
from services.store.replays import PostgresReplays
from tests.support.fake_replays import FakeReplays
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.rows import EVENTS, NOW, PROJECT, a_pool, a_project, a_subscription, an_id

HOUR = timedelta(hours=1)


@dataclass
class Store:
    """One of the two, and a subscription in it."""

    replays: FakeReplays | PostgresReplays
    partitions: PartitionStore
    operations: OperationStore
    subscription: SubscriptionId

    async def epoch(self) -> int:
        return (await self.partitions.assign({EVENTS: Floor(0, 0)}, worker="w0"))[EVENTS].epoch

    def replay(self) -> Replay:
        """Return a replay of the last hour, over one partition."""
        return Replay(
            id=an_id(),
            subscription_id=self.subscription,
            project_id=ProjectId(PROJECT),
            from_at=NOW - HOUR,
            to_at=NOW,
            wanted=Wanted(types=("plan.*",), key="k"),
            rate=10.0,
            speed=None,
            state=ReplayState.QUEUED,
            created_by="admin",
            created_at=NOW,
            ranges=(Range(EVENTS, 10, 20, cursor=10),),
        )


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[Store]:
    if dsn is None:
        database = FakeDatabase(clock=SystemClock())
        client = FakeStore(database)
        yield Store(FakeReplays(database), client, client, SubscriptionId(an_id()))
        return
    async with a_pool(dsn) as pool:
        await a_project(pool)
        id_ = await a_subscription(pool)
        yield Store(
            PostgresReplays(pool=pool),
            PostgresPartitions(pool=pool),
            PostgresOperations(pool=pool),
            id_,
        )


def told(replay: Replay, epoch: int, cursor: int, *, waiting: bool = False) -> Advance:
    return Advance(replay.id, EVENTS, epoch, cursor, sent=cursor - 10, dead=0, waiting=waiting)


async def test_what_was_asked_for_is_what_a_worker_finds(store: Store) -> None:
    replay = store.replay()
    assert await store.replays.add(replay)
    assert await store.replays.active([EVENTS]) == [replay]
    assert await store.replays.get(replay.id) == replay


async def test_two_over_the_same_span_are_one_too_many_and_another_selection_is_fine(
    store: Store,
) -> None:
    first = store.replay()
    assert await store.replays.add(first)
    again = replace(store.replay(), from_at=NOW - HOUR / 2)
    assert not await store.replays.add(again)
    assert await store.replays.add(replace(store.replay(), wanted=Wanted(key="other")))
    assert await store.replays.add(replace(store.replay(), from_at=NOW, to_at=NOW + HOUR))
    assert await store.replays.cancel(first.id, at=NOW)
    assert await store.replays.add(again)


async def test_an_owner_moves_it_on_and_it_ends_where_its_ranges_do(store: Store) -> None:
    replay = store.replay()
    await store.replays.add(replay)
    epoch = await store.epoch()
    assert list(await store.replays.advance([told(replay, epoch, 15)], at=NOW)) == []
    found = await store.replays.get(replay.id)
    assert found is not None
    assert (found.state, found.done, found.total, found.sent) == (ReplayState.RUNNING, 5, 10, 5)
    assert await store.operations.waiting(limit=9) == []
    (done,) = await store.replays.advance([told(replay, epoch, 20)], at=NOW + HOUR)
    (kept,) = await store.operations.waiting(limit=9)
    assert kept.operation == replay_ended(done)
    assert (done.state, done.started_at, done.ended_at) == (ReplayState.DONE, NOW, NOW + HOUR)
    assert list(await store.replays.advance([told(replay, epoch, 20)], at=NOW)) == []
    assert list(await store.replays.active([EVENTS])) == []


async def test_who_no_longer_owns_a_partition_moves_nothing(store: Store) -> None:
    replay = store.replay()
    await store.replays.add(replay)
    old = await store.epoch()
    await store.epoch()
    assert list(await store.replays.advance([told(replay, old, 20)], at=NOW)) == []
    found = await store.replays.get(replay.id)
    assert found is not None
    assert (found.state, found.done) == (ReplayState.QUEUED, 0)


async def test_what_ended_stays_as_it_ended(store: Store) -> None:
    replay = store.replay()
    await store.replays.add(replay)
    assert await store.replays.cancel(replay.id, at=NOW)
    assert not await store.replays.cancel(replay.id, at=NOW)
    assert await store.replays.fail(replay.id, error="too late", at=NOW) is None
    assert list(await store.replays.active([EVENTS])) == []
    other = store.replay()
    await store.replays.add(other)
    failed = await store.replays.fail(other.id, error="the log is gone", at=NOW)
    assert failed is not None
    assert (failed.state, failed.error) == (ReplayState.FAILED, "the log is gone")
    told = [kept.operation for kept in await store.operations.waiting(limit=9)]
    assert [(each.type, each.data["replay_id"], each.data["state"]) for each in told] == [
        ("webhook.replay_finished", replay.id, "cancelled"),
        ("webhook.replay_finished", other.id, "failed"),
    ]
