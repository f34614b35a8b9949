"""The history of attempts, as those see it who make them, store them and look at them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.kernel.attempt import Attempt, Verdict
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.history import HistoryFilter
from services.kernel.recorded import Recorded
from services.kernel.rollup import Step, Sums


class AttemptLog(Protocol):
    """Keeps attempts for people to look at. No delivery ever waits for it."""

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Keep an attempt and what follows from it (None: nothing), or count it as lost."""


class Unrecorded:
    """The `AttemptLog` of an installation that keeps none."""

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Let it go."""


class Written(NamedTuple):
    """A record of the log of attempts, as it was read."""

    run: str
    """One process of a worker."""
    number: int
    """Of this record in its run, growing: the same number again is the same record."""
    attempts: Sequence[Recorded]


class AttemptStore(Protocol):
    """Tables of attempts, as the recorder writes them. Every call may raise StoreGoneError."""

    async def next_offset(self, partition: Partition) -> int | None:
        """Return where *partition* goes on; None where it was never begun."""

    async def begin(self, partition: Partition, *, before: int | None, offset: int) -> None:
        """Let *partition* go on at *offset*, if it still stands at *before*."""

    async def store(
        self, partition: Partition, records: Sequence[Written], *, before: int, after: int
    ) -> int | None:
        """Store what is new in *records* and go on at *after*, in one transaction.

        Return how many attempts were stored. None: *partition* doesn't stand at *before*, since
        somebody else went on with it, or an earlier call took effect without our hearing of it.
        """

    async def make_days(self, days: Collection[datetime]) -> None:
        """Make the tables of days that have none."""

    async def expire(self, *, before: datetime, now: datetime) -> Sequence[str]:
        """Drop the tables of days that ended before then, and return their names.

        A day that somebody reads stays until the next time. Statistics of then go too, those of
        minutes after three days.
        """


class HistoryStore(Protocol):
    """Attempts, as people look at them. Every call may raise StoreGoneError."""

    async def page(
        self, asked: HistoryFilter, *, before: str | None, limit: int
    ) -> Sequence[Recorded]:
        """Return those that fit, newest first, below the id *before*."""

    async def after(
        self, asked: HistoryFilter, *, after: str | None, limit: int
    ) -> Sequence[Recorded]:
        """Return those that fit, oldest first, above the id *after*."""

    async def count(self, asked: HistoryFilter) -> tuple[int, int]:
        """Return how many fit, and the bytes of their requests."""

    async def begins(self) -> datetime | None:
        """Return when the oldest day begins that is kept; None: none is yet."""

    async def get(self, id_: str) -> Recorded | None:
        """Return one attempt."""

    async def of_delivery(self, delivery_id: str) -> Sequence[Recorded]:
        """Return all attempts of a delivery, oldest first."""

    async def body(self, subscription_id: str, event_id: str) -> tuple[str, bytes, str] | None:
        """Return type, body and content type of a delivery that failed, as they go out."""

    async def points(
        self,
        *,
        project_id: str | None,
        subscription_id: str | None,
        among: Collection[str] | None,
        type_: str | None,
        step: Step,
        since: datetime,
        until: datetime,
    ) -> Mapping[datetime, Sums]:
        """Return what was counted between two times, by the beginning of each step."""
