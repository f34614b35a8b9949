"""Match counts without Postgres; `tests/contract/test_counts.py` holds both to the same."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from services.kernel.errors import StoreGoneError
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.ports.store.counts import Clause, Seen, Tally
from tests.support.fake_store import FakeDatabase
from tests.support.server import GoneError

T = TypeVar("T")
SLOT, HOUR = timedelta(minutes=5), timedelta(hours=1)


class FakeMatchCounts:
    """The `MatchCountStore`: a client of the database."""

    def __init__(self, database: FakeDatabase, *, seconds: float = 5.0) -> None:
        self._database = database
        self._seconds = seconds
        self._seen: dict[tuple[str, str, datetime], Seen] = {}
        self._matched: Counter[tuple[SubscriptionId, datetime]] = Counter()
        self._missed: Counter[tuple[Clause, datetime]] = Counter()

    async def add(
        self,
        seen: Mapping[tuple[str, str], Seen],
        matched: Mapping[SubscriptionId, int],
        missed: Mapping[Clause, int],
        *,
        at: datetime,
    ) -> None:
        """Add what one worker counted."""
        slot, hour = (at - (at - datetime(1970, 1, 1, tzinfo=UTC)) % each for each in (SLOT, HOUR))

        def write() -> None:
            for pair, one in seen.items():
                self._seen[*pair, slot] = _added(self._seen.get((*pair, slot)), one)
            self._matched.update({(id_, slot): count for id_, count in matched.items()})
            self._missed.update({(clause, hour): count for clause, count in missed.items()})

        await self._ask(write)

    async def seen(
        self, project_id: ProjectId, *, since: datetime, lately: datetime
    ) -> Mapping[str, Tally]:
        """Return how many events of each type were seen."""

        def read() -> Mapping[str, Tally]:
            found: dict[str, Tally] = {}
            for (project, type_, slot), (count, _, _) in self._seen.items():
                if project == project_id and slot >= since:
                    before = found.get(type_, Tally(0, 0))
                    found[type_] = Tally(
                        before.all + count, before.lately + (count if slot >= lately else 0)
                    )
            return found

        return await self._ask(read)

    async def volumes(self, project_id: ProjectId, *, since: datetime) -> Mapping[str, Seen]:
        """Return what was seen of each type."""

        def read() -> Mapping[str, Seen]:
            found: dict[str, Seen] = {}
            for (project, type_, slot), one in self._seen.items():
                if project == project_id and slot >= since:
                    found[type_] = _added(found.get(type_), one)
            return found

        return await self._ask(read)

    async def matched(self, id_: SubscriptionId, *, since: datetime, lately: datetime) -> Tally:
        """Return how many events a subscription matched."""

        def read() -> Tally:
            mine = {slot: count for (id__, slot), count in self._matched.items() if id__ == id_}
            return Tally(
                sum(count for slot, count in mine.items() if slot >= since),
                sum(count for slot, count in mine.items() if slot >= lately),
            )

        return await self._ask(read)

    async def missed(self, id_: SubscriptionId, *, since: datetime) -> Mapping[str, int]:
        """Return how many explained misses each clause said no to."""

        def read() -> Mapping[str, int]:
            found: Counter[str] = Counter()
            for (clause, slot), count in self._missed.items():
                if clause.subscription_id == id_ and slot >= since:
                    found[clause.pointer] += count
            return found

        return await self._ask(read)

    async def _ask(self, effect: Callable[[], T]) -> T:
        try:
            return await self._database.ask(effect, seconds=self._seconds)
        except GoneError as error:
            raise StoreGoneError(str(error)) from error


def _added(before: Seen | None, more: Seen) -> Seen:
    if before is None:
        return more
    events, size, peak = before
    return Seen(events + more.events, size + more.bytes, max(peak, more.peak))
