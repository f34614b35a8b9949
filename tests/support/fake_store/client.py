"""The ports of the workers, on that database."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from services.kernel.delivery import Delivery
from services.kernel.errors import StoreGoneError
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.lane import (
    LaneChange,
    LaneGap,
    Start,
)
from services.kernel.operation import Kept, Operation
from services.kernel.ports.store.health import HealthRow
from services.kernel.ports.store.partitions import Assignment, Floor, Stand
from services.kernel.ports.store.retries import (
    LineKey,
    RowChange,
)
from services.kernel.subscription import Subscription
from tests.support.fake_store.database import FakeDatabase
from tests.support.fake_store.tables import GapRow
from tests.support.processes import current_process
from tests.support.server import GoneError

T = TypeVar("T")
RECONNECT_SECONDS = 1.0


class FakeStore:
    """All ports of the workers: a client, in the process that uses it."""

    def __init__(self, database: FakeDatabase, *, seconds: float = 5.0) -> None:
        self._database = database
        self._seconds = seconds

    async def assign(
        self, floors: Mapping[Partition, Floor], *, worker: str
    ) -> Mapping[Partition, Assignment]:
        """Begin a new epoch of each partition and load its rows at or above its floor."""
        process = current_process()
        return await self._ask(lambda: self._database.assign(process, floors, worker))

    async def release(self, epochs: Mapping[Partition, int]) -> None:
        """End these epochs."""
        await self._ask(lambda: self._database.release(epochs))

    async def report_stands(self, stands: Mapping[Partition, Stand]) -> Collection[Partition]:
        """Keep where each stands; return those whose epoch is over."""
        return await self._ask(lambda: self._database.report_stands(stands))

    async def move_lanes_back(
        self,
        partition: Partition,
        *,
        epoch: int,
        offset: int,
        begins: Mapping[SubscriptionId, int],
    ) -> None:
        """Have lanes that stand above *offset* go on there, or where they began."""
        process = current_process()
        await self._ask(
            lambda: self._database.move_lanes_back(process, partition, epoch, offset, begins)
        )

    async def record_gap(
        self,
        partition: Partition,
        *,
        from_offset: int,
        to_offset: int,
        reason: str,
        at: datetime,
        operations: Sequence[Operation],
    ) -> None:
        """Keep that a range was not delivered and why, and have it told."""
        gap = GapRow(partition, from_offset, to_offset, reason, at)
        await self._ask(lambda: self._database.record_gap(gap, operations))

    async def write(
        self, changes: Sequence[RowChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable; return the writes of partitions that took them."""
        process = current_process()
        return await self._ask(lambda: self._database.write(process, changes, known or {}))

    async def due(
        self,
        epochs: Mapping[Partition, int],
        *,
        now: datetime,
        limit: int,
        skip: Collection[tuple[Position, SubscriptionId]],
        busy: Collection[SubscriptionId],
    ) -> Sequence[Delivery]:
        """Return up to *limit* due rows of these partitions, oldest due first."""
        return await self._ask(lambda: self._database.due(epochs, now, limit, skip, busy))

    async def change(
        self, changes: Sequence[LaneChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable; return the writes of partitions that took them."""
        process = current_process()
        return await self._ask(lambda: self._database.change_lanes(process, changes, known or {}))

    async def starts(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Sequence[Start]:
        """Return what was promised to these subscriptions on these partitions."""
        return await self._ask(lambda: self._database.starts(partitions, ids))

    async def rows(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Collection[tuple[Position, SubscriptionId]]:
        """Return what rows of these stand for."""
        return await self._ask(lambda: self._database.rows_of(partitions, ids))

    async def keep_gap(self, gap: LaneGap, *, from_time: datetime) -> bool:
        """Keep what a lane doesn't deliver; tell whether nobody was told of it."""
        return await self._ask(lambda: self._database.keep_gap(gap, from_time))

    async def told_gap(self, gap: LaneGap) -> None:
        """Note that a gap was told of."""
        await self._ask(lambda: self._database.told_gap(gap))

    async def turns(
        self, epochs: Mapping[Partition, int], lines: Sequence[LineKey], *, limit: int
    ) -> Sequence[Delivery]:
        """Return the first rows of each of *lines* that wait for their turn."""
        return await self._ask(lambda: self._database.turns(epochs, lines, limit))

    async def load_all(self) -> AsyncIterator[Sequence[Subscription]]:
        """Yield all subscriptions, a few at a time: what is written in between may be missed."""
        after = ""
        while page := await self._loaded(partial(self._database.subscriptions_after, after)):
            yield page
            after = page[-1].id

    async def load(self, ids: Collection[SubscriptionId]) -> Sequence[Subscription]:
        """Return those of *ids* that exist."""
        stored = self._database.tables.subscriptions
        return await self._loaded(lambda: [stored[id_] for id_ in ids if id_ in stored])

    async def changed_within(self, seconds: float) -> Collection[SubscriptionId]:
        """Return which were made, changed or deleted within the last *seconds*."""
        database = self._database
        return await self._ask(
            lambda: [
                id_
                for id_, at in database.changed_at.items()
                if (database.clock.now() - at).total_seconds() <= seconds
            ]
        )

    async def changes(self) -> AsyncIterator[Collection[SubscriptionId] | None]:
        """Yield ids as they change; None after each connection was made."""
        while True:
            try:
                line = await self._ask(self._database.listen)
                yield None
                while True:
                    yield await line.heard()
            except (GoneError, StoreGoneError):
                await self._database.clock.sleep(RECONNECT_SECONDS)

    async def disable(self, id_: SubscriptionId, *, reason: str, at: datetime) -> bool:  # noqa: ARG002 - shown by the API alone
        """Disable it if it is active; tell whether that changed anything."""
        return await self._ask(lambda: self._database.disable(id_, reason))

    async def waiting(self, *, limit: int) -> Sequence[Kept]:
        """Return what is to be told, in order."""
        return await self._ask(lambda: self._database.tables.operations[:limit])

    async def told(self, numbers: Sequence[int]) -> None:
        """Forget what was told."""
        await self._ask(lambda: self._database.forget(numbers))

    async def report(self, *, worker: str, partitions: int, rows: Sequence[HealthRow]) -> None:  # noqa: ARG002 - as above
        """Upsert the changed rows of this worker."""
        await self._ask(lambda: self._database.report(worker, rows))

    async def _loaded(self, read: Callable[[], list[Subscription]]) -> Sequence[Subscription]:
        found = await self._ask(read)
        self._database.watcher.told(current_process(), found)
        return found

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._database.ask(effect, seconds=self._seconds)
        except GoneError as error:
            raise StoreGoneError(str(error)) from error
