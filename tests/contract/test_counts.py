"""What workers count is added up by time; the fake of the simulation is held to the same."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.kernel.clock import SystemClock
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.ports.store.counts import FILTER, Clause, MatchCountStore, Seen, Tally
from services.store.counts import PostgresMatchCounts
from tests.support.fake_counts import FakeMatchCounts
from tests.support.fake_store import FakeDatabase
from tests.support.rows import NOW, PROJECT, a_pool, an_id

HOUR, DAY = NOW - timedelta(hours=1), NOW - timedelta(days=1)
SLOT = timedelta(minutes=5)


@pytest.fixture
async def store(dsn: str | None) -> AsyncIterator[MatchCountStore]:
    if dsn is None:
        yield FakeMatchCounts(FakeDatabase(clock=SystemClock()))
        return
    async with a_pool(dsn) as pool:
        yield PostgresMatchCounts(pool=pool)


async def test_what_all_workers_count_is_added_up_and_lately_is_part_of_all(
    store: MatchCountStore,
) -> None:
    one, other = SubscriptionId(an_id()), SubscriptionId(an_id())
    plans, stops = (PROJECT, "plan.created"), (PROJECT, "stop.created")
    await store.add(
        {plans: Seen(3, 30, 2), stops: Seen(1, 5, 1)}, {one: 2}, {}, at=NOW - timedelta(hours=5)
    )
    await store.add({plans: Seen(4, 44, 4)}, {one: 1, other: 4}, {}, at=NOW)
    await store.add({plans: Seen(5, 50, 3)}, {}, {}, at=NOW)
    assert await store.seen(PROJECT, since=DAY, lately=HOUR) == {
        "plan.created": Tally(12, 9),
        "stop.created": Tally(1, 0),
    }
    assert await store.volumes(PROJECT, since=DAY) == {
        "plan.created": Seen(12, 124, 4),
        "stop.created": Seen(1, 5, 1),
    }
    assert await store.matched(one, since=DAY, lately=HOUR) == Tally(3, 1)
    assert await store.matched(other, since=DAY, lately=HOUR) == Tally(4, 4)


async def test_what_was_before_or_of_others_is_left_out(store: MatchCountStore) -> None:
    one = SubscriptionId(an_id())
    await store.add({(PROJECT, "plan.created"): Seen(3, 3, 3)}, {one: 2}, {}, at=DAY - SLOT)
    assert await store.seen(PROJECT, since=DAY, lately=HOUR) == {}
    assert await store.matched(one, since=DAY, lately=HOUR) == Tally(0, 0)
    others = ProjectId("5e208446c97efa37d4830b02")
    assert await store.seen(others, since=DAY - 2 * SLOT, lately=HOUR) == {}


async def test_a_slot_is_known_by_its_begin(store: MatchCountStore) -> None:
    begin = NOW.replace(minute=40, second=0)
    await store.add(
        {(PROJECT, "plan.created"): Seen(1, 1, 1)}, {}, {}, at=begin + SLOT - timedelta(seconds=1)
    )
    for since, is_seen in ((begin, True), (begin + timedelta(seconds=1), False)):
        assert bool(await store.seen(PROJECT, since=since, lately=since)) == is_seen


async def test_what_clauses_said_no_to_is_added_up_by_the_hour(store: MatchCountStore) -> None:
    one, other = SubscriptionId(an_id()), SubscriptionId(an_id())
    status, id_ = "/filter/data/status", "/filter/data/id"
    await store.add({}, {}, {Clause(one, FILTER): 3, Clause(one, status): 3}, at=NOW)
    more = {Clause(one, FILTER): 1, Clause(one, id_): 1, Clause(other, FILTER): 5}
    await store.add({}, {}, more, at=NOW - 5 * SLOT)
    await store.add({}, {}, {Clause(one, FILTER): 7}, at=DAY - timedelta(hours=1))
    assert await store.missed(one, since=DAY) == {FILTER: 4, status: 3, id_: 1}
    assert await store.missed(other, since=DAY) == {FILTER: 5}
    assert await store.missed(one, since=NOW + timedelta(hours=1)) == {}
