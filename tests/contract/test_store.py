"""What workers rely on in Postgres; the store of the simulation is held to the same."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from services.kernel.about import About
from services.kernel.attempt import Outcome
from services.kernel.clock import SystemClock
from services.kernel.delivery import Delivery, Member, Trigger
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.partitions import Assignment, Floor, PartitionStore
from services.kernel.ports.store.retries import (
    Bury,
    KeyRow,
    LineKey,
    Park,
    Remove,
    RetryStore,
    RowChange,
    SettledRow,
    Usage,
    Waits,
)
from services.kernel.ports.store.sources import SubscriptionSource
from services.kernel.subscription import Ordered, Status
from services.store.changes import PostgresSubscriptionSource
from services.store.keys import PostgresKeys
from services.store.partitions import PostgresPartitions
from services.store.pool import Pool
from services.store.registrations import PostgresRegistrations
from services.store.retries import PostgresRetries
from tests.support.eventually import eventually
from tests.support.factories import a_subscription as a_known_subscription
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.rows import (
    EVENTS,
    NOW,
    a_cipher,
    a_delivery,
    a_pool,
    a_project,
    a_stand,
    a_subscription,
    after,
    an_attempt,
    an_id,
    everybody,
)
from tests.support.tasks import running

OTHER = Partition("planner.events", 1)
START = Floor(offset=0, epoch=0)
CLOCK = SystemClock()


@dataclass
class Store:
    """One of the two, and what people do to it."""

    partitions: PartitionStore
    retries: RetryStore
    source: SubscriptionSource
    subscribe: Callable[..., Awaitable[SubscriptionId]]
    release: Callable[[SubscriptionId, str, bool], Awaitable[int]]
    set_status: Callable[[SubscriptionId, Status], Awaitable[None]]
    unsubscribe: Callable[[SubscriptionId], Awaitable[None]]

    async def assigned(
        self, partition: Partition = EVENTS, floor: Floor = START, *, worker: str = "w0"
    ) -> Assignment:
        return (await self.partitions.assign({partition: floor}, worker=worker))[partition]

    async def settled(self, partition: Partition = EVENTS) -> list[SettledRow]:
        """Return what rows stand for, as a new owner finds it."""
        return sorted((await self.assigned(partition)).settled)

    async def due(
        self,
        epochs: dict[Partition, int],
        *,
        now: datetime = NOW,
        limit: int = 100,
        skip: Sequence[Delivery] = (),
        busy: Sequence[SubscriptionId] = (),
    ) -> list[Delivery]:
        pairs = [delivery.pair for delivery in skip]
        return list(await self.retries.due(epochs, now=now, limit=limit, skip=pairs, busy=busy))


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

    async def subscribe(**fields: object) -> SubscriptionId:
        subscription = a_known_subscription("*", id_=an_id(), version=1, **fields)
        database.subscribe(subscription)
        return subscription.id

    async def set_status(id_: SubscriptionId, status: Status) -> None:
        before = database.tables.subscriptions[id_]
        database.subscribe(replace(before, status=status, version=before.version + 1))

    async def unsubscribe(id_: SubscriptionId) -> None:
        database.unsubscribe(id_)

    async def release(id_: SubscriptionId, key: str, skip: bool) -> int:  # noqa: FBT001 - one of two
        return database.release_key(id_, key, skip=skip)

    return Store(client, client, client, subscribe, release, set_status, unsubscribe)


def a_real(pool: Pool) -> Store:
    registrations = PostgresRegistrations(pool=pool, cipher=a_cipher())

    async def set_status(id_: SubscriptionId, status: Status) -> None:
        before = await registrations.get(id_)
        assert before is not None
        changed = replace(before, status=status)
        assert await registrations.replace(changed, version=before.version)

    async def unsubscribe(id_: SubscriptionId) -> None:
        await registrations.delete(id_, at=NOW)

    async def release(id_: SubscriptionId, key: str, skip: bool) -> int:  # noqa: FBT001 - one of two
        return len(await PostgresKeys(pool=pool).release(id_, key, skip=skip))

    return Store(
        PostgresPartitions(pool=pool),
        PostgresRetries(pool=pool),
        PostgresSubscriptionSource(pool=pool, cipher=a_cipher(), clock=CLOCK),
        lambda **fields: a_subscription(pool, **fields),
        release,
        set_status,
        unsubscribe,
    )


# Partitions and their epochs.


async def test_a_partition_never_owned_begins_with_the_first_epoch(store: Store) -> None:
    expected = Assignment(
        epoch=1,
        committed=None,
        committed_epoch=0,
        settled=[],
        usage={},
        lanes=[],
        starts=[],
        keys=[],
    )
    assert await store.assigned() == expected


async def test_each_owner_has_an_epoch_above_the_one_before_and_finds_what_was_committed(
    store: Store,
) -> None:
    first = await store.assigned()
    await store.partitions.report_stands({EVENTS: a_stand(first.epoch, 42)})
    second = await store.assigned(floor=Floor(offset=42, epoch=first.epoch))
    assert (second.epoch, second.committed_epoch, second.committed) == (2, 1, 42)


async def test_partitions_have_epochs_of_their_own(store: Store) -> None:
    await store.assigned(EVENTS)
    found = await store.partitions.assign({EVENTS: START, OTHER: START}, worker="w1")
    assert {partition: row.epoch for partition, row in found.items()} == {EVENTS: 2, OTHER: 1}


async def test_an_owner_whose_epoch_is_over_keeps_no_offsets(store: Store) -> None:
    old = await store.assigned()
    new = await store.assigned()
    assert list(await store.partitions.report_stands({EVENTS: a_stand(new.epoch, 42)})) == []
    assert list(await store.partitions.report_stands({EVENTS: a_stand(old.epoch, 99)})) == [EVENTS]
    assert (await store.assigned()).committed == 42


async def test_who_has_committed_nothing_yet_leaves_what_the_owner_before_did(store: Store) -> None:
    old = await store.assigned()
    await store.partitions.report_stands({EVENTS: a_stand(old.epoch, 42)})
    new = await store.assigned()
    assert list(await store.partitions.report_stands({EVENTS: a_stand(new.epoch, None)})) == []
    assert (await store.assigned()).committed == 42


async def test_after_a_release_its_owner_writes_nothing_more(store: Store) -> None:
    id_ = await store.subscribe()
    owner = await store.assigned()
    await store.partitions.release({EVENTS: owner.epoch})
    await store.partitions.report_stands({EVENTS: a_stand(owner.epoch, 42)})
    parked = Park(a_delivery(id_, epoch=owner.epoch), NOW, None)
    assert await store.retries.write([parked]) == {}
    heir = await store.assigned()
    assert (heir.committed, heir.settled) == (None, [])
    assert heir.epoch > owner.epoch + 1


async def test_a_late_release_takes_nothing_from_the_next_owner(store: Store) -> None:
    old, new = await store.assigned(), await store.assigned()
    await store.partitions.release({EVENTS: old.epoch})
    await store.partitions.report_stands({EVENTS: a_stand(new.epoch, 42)})
    assert (await store.assigned()).committed == 42


async def test_a_new_owner_learns_what_rows_stand_for_from_its_floor_on(store: Store) -> None:
    a, b = await store.subscribe(), await store.subscribe()
    owner = await store.partitions.assign({EVENTS: START, OTHER: START}, worker="w0")
    epoch = owner[EVENTS].epoch
    below, at = a_delivery(a, offset=9, epoch=epoch), a_delivery(a, offset=10, epoch=epoch)
    above = a_delivery(b, offset=11, epoch=epoch)
    elsewhere = a_delivery(b, offset=12, partition=OTHER, epoch=epoch)
    await store.retries.write(
        [
            Park(below, after(5), an_attempt()),
            Park(at, after(5), an_attempt()),
            Bury(above, "exhausted", an_attempt()),
            Park(elsewhere, after(5), an_attempt()),
        ]
    )
    found = await store.assigned(floor=Floor(offset=10, epoch=epoch))
    assert sorted(found.settled) == [
        SettledRow(10, a, at.event_id, dead=False),
        SettledRow(11, b, above.event_id, dead=True),
    ]
    assert found.usage == {a: Usage(rows=2, bytes=len(below.body) + len(at.body))}


async def test_a_batch_that_reaches_over_the_floor_stands_for_its_events_there(
    store: Store,
) -> None:
    id_ = await store.subscribe()
    epoch = (await store.assigned()).epoch
    below, across = (
        replace(
            a_delivery(id_, offset=first, epoch=epoch),
            event_id=f"batch-{first}",
            members=(Member(first, 10), Member(last, 10)),
        )
        for first, last in ((5, 8), (9, 11))
    )
    await store.retries.write([Park(each, after(5), an_attempt()) for each in (below, across)])
    found = await store.assigned(floor=Floor(offset=10, epoch=epoch))
    assert SettledRow(11, id_, None, dead=False) in found.settled
    assert not {5, 8} & {row.offset for row in found.settled}


async def test_what_the_owner_before_had_in_flight_is_due_for_the_next(store: Store) -> None:
    id_ = await store.subscribe()
    owner = await store.assigned()
    await store.retries.write([Park(a_delivery(id_, epoch=owner.epoch), None, None)])
    later = CLOCK.now() + timedelta(hours=1)
    assert await store.due({EVENTS: owner.epoch}, now=later) == []
    heir = await store.assigned()
    assert len(await store.due({EVENTS: heir.epoch}, now=later)) == 1


async def test_a_store_older_than_the_offsets_is_told_apart_as_often_as_it_is_asked(
    store: Store,
) -> None:
    for _ in range(3):
        await store.assigned()
    for _ in range(3):
        found = await store.assigned(floor=Floor(offset=10, epoch=7))
        assert (found.epoch, found.committed_epoch) == (3, 3)
    for _ in range(3):
        found = await store.assigned(OTHER, floor=Floor(offset=10, epoch=1))
        assert (found.epoch, found.committed_epoch) == (0, 0)


async def test_writes_are_counted_and_a_store_that_lacks_some_refuses_whatever_its_epoch(
    store: Store,
) -> None:
    id_ = await store.subscribe()
    owner = await store.assigned()
    park = Park(a_delivery(id_, epoch=owner.epoch), NOW, None)
    assert await store.retries.write([park], known={EVENTS: 0}) == {EVENTS: 1}
    assert await store.retries.write([park, park], known={EVENTS: 1}) == {EVENTS: 2}
    stand = a_stand(owner.epoch, 5)
    assert list(await store.partitions.report_stands({EVENTS: stand._replace(writes=2)})) == []

    # Who hasn't heard of the one before, since its answer got lost, hears of it with the next.
    assert await store.retries.write([park], known={EVENTS: 1}) == {EVENTS: 3}

    # As if two more had come through before Postgres was put back to where it is now.
    assert await store.retries.write([park], known={EVENTS: 5}) == {}
    assert list(await store.partitions.report_stands({EVENTS: stand._replace(writes=5)})) == [
        EVENTS
    ]
    for _ in range(2):
        found = await store.assigned(floor=Floor(offset=10, epoch=owner.epoch, writes=5))
        assert (found.epoch, found.committed_epoch, found.writes) == (owner.epoch, owner.epoch, 3)
    found = await store.assigned(floor=Floor(offset=10, epoch=owner.epoch, writes=3))
    assert (found.epoch, found.writes) == (owner.epoch + 1, 3)


# Rows.


async def test_a_parked_delivery_comes_back_as_it_was_when_it_is_due(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    delivery = a_delivery(
        id_,
        offset=7,
        body=b'{"label":"pla\xc3\xa7a"}',
        number=3,
        replay="5e208446c97efa37d4830b77",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        trigger=Trigger.RETRY,
        retry_reason="timeout",
        about=About("plan.created", "plan-1", stop_id="stop-2", also=("e:event-7", "e:event-8")),
    )
    attempt = an_attempt(Outcome.TIMEOUT, status=None)
    await store.retries.write([Park(delivery, after(5), attempt)])
    assert await store.due({EVENTS: 1}, now=after(4.9)) == []
    assert await store.due({EVENTS: 1}, now=after(5)) == [delivery]


async def test_a_delivery_parked_before_its_first_attempt_comes_back_as_a_live_one(
    store: Store,
) -> None:
    delivery = a_delivery(await store.subscribe(), key=None)
    await store.assigned()
    await store.retries.write([Park(delivery, NOW, None)])
    assert await store.due({EVENTS: 1}) == [delivery]


async def test_what_is_due_carries_the_epoch_of_its_owner_now(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    await store.retries.write([Park(a_delivery(id_, epoch=1), NOW, None)])
    await store.assigned()
    assert [row.epoch for row in await store.due({EVENTS: 2})] == [2]


async def test_parking_again_overwrites_the_row(store: Store) -> None:
    first = a_delivery(await store.subscribe())
    await store.assigned()
    await store.retries.write([Park(first, None, None)])
    again = replace(first, number=2, trigger=Trigger.RETRY, retry_reason="connect")
    await store.retries.write([Park(again, after(9), an_attempt(Outcome.CONNECT, status=None))])
    assert await store.due({EVENTS: 1}, now=after(8)) == []
    assert await store.due({EVENTS: 1}, now=after(9)) == [again]


# Rows of ordered subscriptions.


async def test_rows_that_wait_for_their_turn_are_fetched_by_key_in_order_and_never_by_time(
    store: Store,
) -> None:
    id_ = await store.subscribe(ordered=Ordered.KEY)
    await store.assigned()
    a = [a_delivery(id_, offset=n, key="a", order="a") for n in (9, 3, 5)]
    b = a_delivery(id_, offset=4, key="b", order="b")
    await store.retries.write([Park(d, None, None, Waits.TURN) for d in (*a, b)])
    assert await store.due({EVENTS: 1}, now=after(10**6)) == []
    line = LineKey(id_, EVENTS, "a")
    found = await store.retries.turns({EVENTS: 1}, [line], limit=2)
    assert list(found) == [a[1], a[2]]
    assert list(await store.retries.turns({EVENTS: 7}, [line], limit=2)) == []


async def test_a_new_owner_finds_which_keys_are_held_and_what_waits_behind(store: Store) -> None:
    id_, other = await store.subscribe(ordered=Ordered.KEY), await store.subscribe()
    owner = await store.assigned()
    failed, behind = (a_delivery(id_, offset=n, key="a", order="a") for n in (1, 2))
    await store.retries.write(
        [
            Park(failed, after(5), an_attempt()),
            Park(behind, None, None, Waits.TURN),
            Park(a_delivery(other, offset=3, key="a"), after(5), an_attempt()),
        ]
    )
    heir = await store.assigned()
    assert sorted(heir.keys) == [
        KeyRow(id_, "a", 1, behind=False),
        KeyRow(id_, "a", 2, behind=True),
    ]
    assert heir.epoch == owner.epoch + 1
    later = CLOCK.now() + timedelta(hours=1)
    due = await store.due({EVENTS: heir.epoch}, now=later)
    assert behind.pair not in {delivery.pair for delivery in due}, "only its turn wakes it"


@pytest.mark.parametrize("skip", [False, True])
async def test_a_key_that_waits_for_a_person_is_due_when_it_is_released(
    store: Store,
    skip: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    id_ = await store.subscribe(ordered=Ordered.KEY)
    await store.assigned()
    held, behind = (a_delivery(id_, offset=n, key="a", order="a") for n in (1, 2))
    await store.retries.write(
        [
            Park(held, None, an_attempt(), Waits.PERSON),
            Park(behind, None, None, Waits.TURN),
        ]
    )
    later = CLOCK.now() + timedelta(hours=1)
    assert await store.due({EVENTS: 1}, now=later) == []
    assert await store.release(id_, "b", skip) == 0
    assert await store.release(id_, "a", skip) == 1
    (due,) = await store.due({EVENTS: 1}, now=later)
    assert (due.pair, due.skip) == (held.pair, skip)


async def test_what_is_given_up_while_it_is_in_flight_is_due_at_once_when_it_fails(
    store: Store,
) -> None:
    id_ = await store.subscribe(ordered=Ordered.KEY)
    await store.assigned()
    delivery = a_delivery(id_, key="a", order="a")
    await store.retries.write([Park(delivery, None, None)])
    assert await store.release(id_, "a", True) == 1  # noqa: FBT003 - skip
    later = CLOCK.now() + timedelta(hours=1)
    assert await store.due({EVENTS: 1}, now=later) == []
    await store.retries.write([Park(delivery, after(10**6), an_attempt())])
    (due,) = await store.due({EVENTS: 1}, now=later)
    assert due.skip


async def test_an_acknowledged_delivery_leaves_no_row(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    kept, gone = a_delivery(id_, offset=1), a_delivery(id_, offset=2)
    await store.retries.write([Park(kept, NOW, None), Park(gone, NOW, None)])
    await store.retries.write([Remove(gone)])
    assert await store.settled() == [SettledRow(1, id_, kept.event_id, dead=False)]


async def test_a_dead_letter_takes_the_row_away(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    delivery = a_delivery(id_, offset=3, number=10)
    await store.retries.write([Park(delivery, NOW, an_attempt())])
    await store.retries.write([Bury(delivery, "exhausted", an_attempt())])
    assert await store.due({EVENTS: 1}) == []
    assert await store.settled() == [SettledRow(3, id_, delivery.event_id, dead=True)]


async def test_of_several_changes_of_one_delivery_the_last_holds(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    one, two, three = (a_delivery(id_, offset=n) for n in range(3))
    await store.retries.write(
        [
            Park(one, NOW, None),
            Remove(two),
            Bury(three, "exhausted", None),
            Park(two, NOW, None),
            Park(three, NOW, None),
            Remove(one),
        ]
    )
    assert await store.settled() == [
        SettledRow(1, id_, two.event_id, dead=False),
        SettledRow(2, id_, three.event_id, dead=False),
    ]


async def test_an_event_of_a_recreated_topic_has_a_row_of_its_own(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    old = a_delivery(id_, offset=0, event_id="old")
    new = a_delivery(id_, offset=0, event_id="new")
    await store.retries.write([Park(old, NOW, None), Park(new, NOW, None)])
    await store.retries.write([Remove(old)])
    assert await store.settled() == [SettledRow(0, id_, "new", dead=False)]


async def test_rows_are_due_oldest_first_and_no_more_than_asked_for(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    moments = {4: 30, 5: 10, 6: 20, 7: 50}
    await store.retries.write(
        [Park(a_delivery(id_, offset=n), after(at), None) for n, at in moments.items()]
    )
    found = await store.due({EVENTS: 1}, now=after(40))
    assert [row.position.offset for row in found] == [5, 6, 4]
    found = await store.due({EVENTS: 1}, now=after(40), limit=2)
    assert [row.position.offset for row in found] == [5, 6]


async def test_what_is_in_the_process_already_or_busy_there_is_not_due(store: Store) -> None:
    id_, other, busy = [await store.subscribe() for _ in range(3)]
    await store.assigned()
    held, free = a_delivery(id_, offset=1), a_delivery(id_, offset=2)
    same_offset = a_delivery(other, offset=1)
    await store.retries.write(
        [Park(d, NOW, None) for d in (held, free, same_offset, a_delivery(busy, offset=3))]
    )
    found = await store.due({EVENTS: 1}, skip=[held], busy=[busy])
    assert {row.pair for row in found} == {free.pair, same_offset.pair}


async def test_rows_of_a_busy_subscription_do_not_crowd_out_those_of_others(store: Store) -> None:
    busy, other = await store.subscribe(), await store.subscribe()
    await store.assigned()
    await store.retries.write([Park(a_delivery(busy, offset=n), NOW, None) for n in range(5)])
    waits = a_delivery(other, offset=9)
    await store.retries.write([Park(waits, after(1), None)])
    assert await store.due({EVENTS: 1}, now=after(1), limit=2, busy=[busy]) == [waits]


async def test_only_rows_of_owned_partitions_are_due(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    await store.assigned(OTHER)
    here, there = a_delivery(id_, offset=1), a_delivery(id_, offset=2, partition=OTHER)
    await store.retries.write([Park(here, NOW, None), Park(there, NOW, None)])
    assert await store.due({OTHER: 1}) == [there]
    assert await store.due({}) == []


async def test_a_worker_whose_epoch_is_over_finds_nothing_due(store: Store) -> None:
    """It would send what its heir sends."""
    id_ = await store.subscribe()
    await store.assigned()
    await store.retries.write([Park(a_delivery(id_, epoch=1), NOW, None)])
    heir = await store.assigned()
    assert await store.due({EVENTS: 1}) == []
    await store.partitions.release({EVENTS: heir.epoch})
    assert await store.due({EVENTS: heir.epoch}) == []


@pytest.mark.parametrize("status", [Status.PAUSED, Status.DISABLED])
async def test_rows_of_a_subscription_wait_until_it_is_active_again(
    store: Store, status: Status
) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    await store.retries.write([Park(a_delivery(id_), NOW, None)])
    await store.set_status(id_, status)
    assert await store.due({EVENTS: 1}) == []
    await store.set_status(id_, Status.ACTIVE)
    assert len(await store.due({EVENTS: 1})) == 1


async def test_a_deleted_subscription_gets_no_rows_any_more(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    await store.retries.write([Park(a_delivery(id_, offset=1), NOW, None)])
    await store.unsubscribe(id_)
    late = [
        Park(a_delivery(id_, offset=2), NOW, None),
        Bury(a_delivery(id_, offset=3), "exhausted", None),
    ]
    assert await store.retries.write(late) == {EVENTS: 2}
    assert await store.due({EVENTS: 1}) == []
    assert await store.settled() == []


def parks(delivery: Delivery) -> RowChange:
    return Park(replace(delivery, number=9), after(99), an_attempt())


def removes(delivery: Delivery) -> RowChange:
    return Remove(delivery)


def buries(delivery: Delivery) -> RowChange:
    return Bury(delivery, "exhausted", an_attempt())


CHANGES = pytest.mark.parametrize("change", [parks, removes, buries])


@CHANGES
async def test_a_worker_whose_epoch_is_over_changes_nothing_and_is_told(
    store: Store, change: Callable[[Delivery], RowChange]
) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    delivery = a_delivery(id_, epoch=1)
    await store.retries.write([Park(delivery, NOW, None)])
    await store.assigned()
    assert await store.retries.write([change(delivery)]) == {}
    assert await store.due({EVENTS: 2}) == [replace(delivery, epoch=2)]
    assert await store.settled() == [SettledRow(0, id_, delivery.event_id, dead=False)]


async def test_a_lost_partition_does_not_hold_up_the_others_of_a_batch(store: Store) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    await store.assigned(OTHER)
    await store.assigned(EVENTS)
    lost, kept = a_delivery(id_, offset=1), a_delivery(id_, offset=2, partition=OTHER)
    assert await store.retries.write([Park(lost, NOW, None), Park(kept, NOW, None)]) == {OTHER: 1}
    assert await store.settled(EVENTS) == []
    assert await store.settled(OTHER) == [SettledRow(2, id_, kept.event_id, dead=False)]


@CHANGES
async def test_a_partition_that_came_back_does_not_let_changes_of_its_old_epoch_pass(
    store: Store, change: Callable[[Delivery], RowChange]
) -> None:
    id_ = await store.subscribe()
    await store.assigned()
    delivery = a_delivery(id_, offset=1, epoch=1)
    await store.retries.write([Park(delivery, NOW, None)])
    await store.assigned()
    new = a_delivery(id_, offset=2, epoch=2)
    assert await store.retries.write([Park(new, after(1), None), change(delivery)]) == {EVENTS: 2}
    found = await store.due({EVENTS: 2}, now=after(100))
    assert found == [replace(delivery, epoch=2), new]


# Subscriptions.


async def test_workers_know_the_subscriptions_that_are_not_deleted(store: Store) -> None:
    kept, deleted = await store.subscribe(), await store.subscribe()
    await store.unsubscribe(deleted)
    assert [row.id for row in await everybody(store.source)] == [kept]
    asked = [kept, deleted, SubscriptionId(an_id())]
    assert [row.id for row in await store.source.load(asked)] == [kept]


async def test_only_an_active_subscription_is_disabled_and_once(store: Store) -> None:
    active, paused = await store.subscribe(), await store.subscribe()
    await store.set_status(paused, Status.PAUSED)
    assert await store.source.disable(active, reason="gone", at=NOW)
    assert not await store.source.disable(active, reason="gone", at=NOW)
    assert not await store.source.disable(paused, reason="gone", at=NOW)
    found = {row.id: row.status for row in await everybody(store.source)}
    assert found == {active: Status.DISABLED, paused: Status.PAUSED}


async def test_a_change_is_heard_of_and_raises_the_version(store: Store) -> None:
    heard: list[Collection[SubscriptionId] | None] = []

    async def listen() -> None:
        async for ids in store.source.changes():
            heard.append(ids)  # noqa: PERF401 - it never ends

    async with running(listen()):
        await eventually(lambda: heard == [None])
        id_ = await store.subscribe()
        await eventually(lambda: heard == [None, [id_]])
        (before,) = await store.source.load([id_])
        await store.source.disable(id_, reason="gone", at=NOW)
        await eventually(lambda: heard == [None, [id_], [id_]])
        (now,) = await store.source.load([id_])
        assert now.version > before.version
