"""A replay: part of the log once more, for one subscription, beside its live traffic."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.about import about
from services.kernel.event import Event, Partition
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.value import value


class ReplayState(StrEnum):
    """How far a replay is."""

    QUEUED = "queued"  #: no worker has begun yet
    RUNNING = "running"  #: events are being sent
    WAITING = "waiting"  #: the receiver can't be reached or asked us to wait; it goes on by itself
    DONE = "done"  #: each event was acknowledged, or waits or was given up as any other delivery
    CANCELLED = "cancelled"  #: somebody stopped it; what was sent was sent
    FAILED = "failed"  #: it can't go on; `error` says why


ENDED = (ReplayState.DONE, ReplayState.CANCELLED, ReplayState.FAILED)


class Range(NamedTuple):
    """A replay's part of one partition, [start, end)."""

    partition: Partition
    start: int
    end: int
    cursor: int
    """Everything below is settled."""
    sent: int = 0
    """Events acknowledged."""
    dead: int = 0
    """Events given up."""
    waiting: bool = False


@value
class Wanted:
    """Which events of the log; None: any."""

    types: tuple[str, ...] | None = None
    """Patterns, beside those of the subscription."""
    key: str | None = None
    plan_id: str | None = None
    route_id: str | None = None
    vehicle_id: str | None = None

    def takes(self, event: Event) -> bool:
        """Tell whether *event* is asked for, its type left aside."""
        if self.key is not None and event.key != self.key:
            return False
        if self.plan_id is None and self.route_id is None and self.vehicle_id is None:
            return True
        found = about(event)
        return (
            self.plan_id in (None, found.plan_id)
            and self.route_id in (None, found.route_id)
            and self.vehicle_id in (None, found.vehicle_id)
        )


@value
class Replay:
    """What was asked for, and how far it is."""

    id: str
    subscription_id: SubscriptionId
    project_id: ProjectId
    from_at: datetime
    to_at: datetime
    wanted: Wanted
    rate: float | None
    """Requests a second at most, over all workers; None: as fast as the receiver takes them."""
    speed: float | None
    """In the original rhythm, so many times as fast; None: without it."""
    state: ReplayState
    error: str | None = None
    created_by: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ranges: tuple[Range, ...] = ()

    @property
    def total(self) -> int:
        """Records of the log to look at."""
        return sum(range_.end - range_.start for range_ in self.ranges)

    @property
    def done(self) -> int:
        """Records behind every cursor."""
        return sum(range_.cursor - range_.start for range_ in self.ranges)

    @property
    def sent(self) -> int:
        """Events acknowledged."""
        return sum(range_.sent for range_ in self.ranges)

    @property
    def dead(self) -> int:
        """Events given up."""
        return sum(range_.dead for range_ in self.ranges)
