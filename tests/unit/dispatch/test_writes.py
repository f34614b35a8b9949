"""A commit counts on writes that Postgres has: else a restore to before one of them goes unnoticed."""

import pytest

from services.dispatch.budget import Budget
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.kernel.errors import StoreGoneError
from services.kernel.ports.store.partitions import Floor
from tests.support.factories import a_subscription
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.processes import run_with_processes
from tests.support.rows import EVENTS, NOW, a_delivery, an_attempt
from tests.support.virtual_time import VirtualClock


def test_a_write_that_came_through_counts_though_its_answer_got_lost() -> None:
    async def story() -> tuple[int, int]:
        clock = VirtualClock()
        database = FakeDatabase(clock=clock)
        subscription = a_subscription()
        database.subscribe(subscription)
        store, partitions = FakeStore(database), OwnedPartitions()
        parking = Parking(
            store=store,
            partitions=partitions,
            budget=Budget(rows=10, bytes_=1_000),
            clock=clock,
            ordered_seconds=1.0,
        )
        owned = await an_owner(store, partitions)
        parking.park(a_delivery(subscription.id, epoch=owned.epoch), an_attempt(), NOW)
        database.loses = lambda: True
        with pytest.raises(StoreGoneError):
            await parking.flush()
        database.loses = lambda: False
        await parking.flush()
        return owned.writes, database.tables.partitions[EVENTS].writes

    assert run_with_processes(story()) == (2, 2)


async def an_owner(store: FakeStore, partitions: OwnedPartitions) -> Owned:
    owned = partitions.add(EVENTS)
    owned.epoch = (await store.assign({EVENTS: Floor(0, 0)}, worker="w0"))[EVENTS].epoch
    owned.loaded = True
    return owned
