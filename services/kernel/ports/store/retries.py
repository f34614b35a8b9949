"""Tables `retries` and `dead_letters`: a row per failure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery, Settlement
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId


class SettledRow(NamedTuple):
    """A delivery that a retry row or a dead letter stands for: it isn't due when read again."""

    offset: int
    subscription_id: SubscriptionId
    event_id: str | None
    """Told apart by it, so that a recreated topic's new events aren't taken for settled. None: the row
    is of a batch, and this is one of its events."""
    dead: bool


class LineKey(NamedTuple):
    """One key of an ordered subscription on one partition."""

    subscription_id: SubscriptionId
    partition: Partition
    key: str


class KeyRow(NamedTuple):
    """A retry row of an ordered subscription: it holds its key, or waits behind it."""

    subscription_id: SubscriptionId
    key: str
    offset: int
    behind: bool
    """Whether it waits for its turn alone."""


class Usage(NamedTuple):
    """What the retry rows of one subscription on one partition take of its budget."""

    rows: int
    bytes: int


class Waits(StrEnum):
    """What a retry row waits for."""

    TIME = "time"  #: its `due_at`; without one, the answer to a request in flight
    TURN = "turn"  #: an earlier event of its key: fetched by key, never by time
    PERSON = "person"  #: its schedule has run out, and its subscription wants the key to be held


class Park(NamedTuple):
    """Write or overwrite the retry row of a delivery."""

    delivery: Delivery
    """`number` is that of the attempt to come."""
    due_at: datetime | None
    """None: a request is in flight; only a new epoch makes the row due. Or it waits for no time."""
    attempt: Attempt | None
    """The failed one before; None if there was none."""
    waits_for: Waits = Waits.TIME


class Remove(NamedTuple):
    """Delete the retry row of a delivery: it was acknowledged, or superseded."""

    delivery: Delivery
    how: Settlement = Settlement.ACKNOWLEDGED


class Bury(NamedTuple):
    """Write a dead letter and delete the retry row."""

    delivery: Delivery
    reason: str
    attempt: Attempt | None


RowChange = Park | Remove | Bury


class RetryStore(Protocol):
    """Tables `retries` and `dead_letters`."""

    async def write(
        self, changes: Sequence[RowChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable in one transaction, then return; order within a pair is kept.

        What was decided under an epoch that is over is left out; a partition of which nothing was
        written for that reason isn't in the answer. Counted for each other as one of its `writes`:
        the answer says how many there are with this one, those among them whose answer got lost.
        So many are *known*: a store that has fewer went back in time, and its epoch is over. None:
        nobody counts.
        """

    async def due(
        self,
        epochs: Mapping[Partition, int],
        *,
        now: datetime,
        limit: int,
        skip: Collection[tuple[Position, SubscriptionId]],
        busy: Collection[SubscriptionId],
    ) -> Sequence[Delivery]:
        """Return up to *limit* due rows of these partitions, oldest due first.

        Without the pairs in *skip*, which are in the process already, and without subscriptions
        that are *busy*: their rows would crowd out those of others. Rows of paused and disabled
        subscriptions are not due, nor those of a partition whose epoch is over: the owner after it
        sends them. Each Delivery carries the epoch given here, trigger `retry` (`live` if no attempt
        was made yet) and the outcome before.
        """

    async def turns(
        self, epochs: Mapping[Partition, int], lines: Sequence[LineKey], *, limit: int
    ) -> Sequence[Delivery]:
        """Return the first rows of each of *lines* that wait for their turn, up to *limit* of each.

        By offset; as `due`, without those of paused and disabled subscriptions and of epochs that are
        over.
        """
