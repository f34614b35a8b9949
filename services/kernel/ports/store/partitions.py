"""Table `partitions`: who owns one, since when, and what a new owner finds."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Start
from services.kernel.operation import Operation
from services.kernel.ports.store.retries import KeyRow, SettledRow, Usage
from services.kernel.value import value


class Floor(NamedTuple):
    """What Kafka says of a partition that is about to be assigned."""

    offset: int
    """The group's offset, 0 where there is none: rows below it needn't be loaded."""
    epoch: int
    """Under which that offset was committed, 0 where it isn't known."""
    writes: int = 0
    """How many writes to Postgres that commit counts on."""


@value
class Assignment:
    """A partition as a new owner finds it."""

    epoch: int
    """The new one; larger than any before."""
    committed: int | None
    """Last offset known to Postgres, None if the partition was never owned."""
    committed_epoch: int
    """The epoch that was in force before; 0 if the partition was never owned."""
    settled: Sequence[SettledRow]
    """Rows at or above the floor that was asked for, or at or above the subscription's lane."""
    usage: Mapping[SubscriptionId, Usage]
    keys: Sequence[KeyRow] = ()
    """All rows of ordered subscriptions that have a key."""
    lanes: Sequence[LaneRow] = ()
    starts: Sequence[Start] = ()
    writes: int = 0
    """How often rows or lanes of the partition were written, ever."""


class Stand(NamedTuple):
    """Where the owner of a partition is."""

    epoch: int
    committed: int | None
    """None: nothing was committed under this epoch yet."""
    read: int
    """The next offset to read."""
    open: int
    """Offsets read and not settled."""
    writes: int = 0
    """How many writes of rows and lanes are known to be durable."""


class PartitionStore(Protocol):
    """Table `partitions`: the fencing numbers."""

    async def assign(
        self, floors: Mapping[Partition, Floor], *, worker: str
    ) -> Mapping[Partition, Assignment]:
        """Begin a new epoch of each partition and load its rows at or above its floor.

        One transaction. Rows parked "in flight" by the owner before become due now. A partition
        whose epoch or writes in Postgres are below those of its floor is left as it is, `epoch` equal
        to `committed_epoch`: Postgres went back in time, and each start that bumped the epoch would
        bring it nearer to hiding that.
        """

    async def release(self, epochs: Mapping[Partition, int]) -> None:
        """End these epochs: the owner is done and writes no more."""

    async def report_stands(self, stands: Mapping[Partition, Stand]) -> Collection[Partition]:
        """Keep where each stands, in one statement; return those whose epoch is over.

        So is that of a partition of which Postgres knows fewer writes: it went back in time.

        The committed offset is kept for when the group's offsets expire in Kafka, the rest for
        people. An owner that writes nothing else hears only here that another worker ended its epoch.
        """

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
        """Keep that [from_offset, to_offset) was not delivered, why, and whom that is told of.

        The *reason* is `retention`, `skipped` or `recreated`. The *operations*, one per subscription that
        lost something, maybe 100,000, are kept in the same transaction. Raises StoreGoneError.
        """

    async def move_lanes_back(
        self,
        partition: Partition,
        *,
        epoch: int,
        offset: int,
        begins: Mapping[SubscriptionId, int],
    ) -> None:
        """Have the lanes that stand above *offset* go on there, if the epoch stands.

        What they had settled counts no more. Those of subscriptions that *begins* names go back to the
        offset it has of them and no further.
        """
