"""The tables as values, and who watches them."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.lane import (
    LaneChange,
    LaneRow,
    Start,
)
from services.kernel.operation import Kept
from services.kernel.ports.store.health import HealthRow
from services.kernel.ports.store.retries import (
    RowChange,
    Waits,
)
from services.kernel.replay import Replay
from services.kernel.subscription import Subscription
from tests.support.processes import Process

RowKey: TypeAlias = tuple[Position, SubscriptionId, str]
LaneKey: TypeAlias = tuple[Partition, SubscriptionId]


@dataclass
class PartitionRow:
    """A row of `partitions`."""

    epoch: int
    worker: str
    committed: int | None = None
    writes: int = 0


@dataclass
class RetryRow:
    """A row of `retries`."""

    delivery: Delivery
    """`number` is that of the attempt to come."""
    due_at: datetime | None
    outcome: str | None
    waits_for: Waits = Waits.TIME
    skip: bool = False


class DeadRow(NamedTuple):
    """A row of `dead_letters`."""

    delivery: Delivery
    attempts: int
    reason: str


class GapRow(NamedTuple):
    """A row of `gaps`."""

    partition: Partition
    from_offset: int
    to_offset: int
    reason: str
    at: datetime | None
    subscription_id: SubscriptionId | None = None
    is_open: bool = False
    told: bool = False
    from_time: datetime | None = None


@dataclass
class Tables:
    """What is stored."""

    partitions: dict[Partition, PartitionRow] = field(default_factory=dict)
    retries: dict[RowKey, RetryRow] = field(default_factory=dict)
    dead: dict[RowKey, DeadRow] = field(default_factory=dict)
    gaps: list[GapRow] = field(default_factory=list)
    subscriptions: dict[SubscriptionId, Subscription] = field(default_factory=dict)
    replays: dict[str, Replay] = field(default_factory=dict)
    health: dict[tuple[SubscriptionId, str], HealthRow] = field(default_factory=dict)
    trouble: dict[SubscriptionId, Any] = field(default_factory=dict)
    """Rows of `fake_trouble`."""
    operations: list[Kept] = field(default_factory=list)
    lanes: dict[LaneKey, LaneRow] = field(default_factory=dict)
    starts: dict[LaneKey, Start] = field(default_factory=dict)


class Watcher:
    """Told of what changes in the tables, at the instant it does. A test overrides what it needs."""

    def assigned(self, process: Process | None, partition: Partition, epoch: int) -> None:
        """A new epoch began."""

    def written(self, process: Process | None, change: RowChange) -> None:
        """A row changed."""

    def lane_changed(
        self, process: Process | None, change: LaneChange, before: LaneRow | None
    ) -> None:
        """A lane was written or deleted."""

    def kept(self, kept: Kept) -> None:
        """Something is to be told."""

    def told(self, process: Process | None, subscriptions: Collection[Subscription]) -> None:
        """A process heard of subscriptions."""
