"""Postgres, as workers see it. Every call may raise StoreGoneError: wait, then repeat it.

Every write to rows of a partition carries the epoch under which it was decided, and is conditional
on it in the same statement: a worker that slept through the loss of its partition changes nothing.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol

from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.geofence import CoordinateOrder, Geofence, GeofenceNews
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.lane import LaneChange, LaneGap, LaneRow, Start
from services.kernel.operation import Kept
from services.kernel.replay import Replay
from services.kernel.subscription import Subscription
from services.kernel.value import value


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
        self, partition: Partition, *, from_offset: int, to_offset: int, reason: str, at: datetime
    ) -> None:
        """Keep that [from_offset, to_offset) was not delivered and why: `retention` `skipped`."""

    async def move_lanes_back(self, partition: Partition, *, epoch: int, offset: int) -> None:
        """Have the lanes that stand above *offset* go on there, if the epoch stands.

        What they had settled counts no more.
        """


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
    """Delete the retry row of a delivery: it was acknowledged."""

    delivery: Delivery


class Bury(NamedTuple):
    """Write a dead letter and delete the retry row."""

    delivery: Delivery
    reason: str
    attempt: Attempt | None


RowChange = Park | Remove | Bury


class RetryStore(Protocol):
    """Tables `retries` and `dead_letters`."""

    async def write(
        self, changes: Sequence[RowChange], *, known: Mapping[Partition, int] = {}
    ) -> Collection[Partition]:
        """Make *changes* durable in one transaction, then return; order within a pair is kept.

        What was decided under an epoch that is over is left out. Returns the partitions of which
        nothing was written for that reason. Counted for each partition as one of its `writes`, of
        which so many are *known*: a store that has fewer went back in time, and its epoch is over.
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


class LaneStore(Protocol):
    """Tables `lanes` and `starts`, and the gaps of single subscriptions."""

    async def change(
        self, changes: Sequence[LaneChange], *, known: Mapping[Partition, int] = {}
    ) -> Collection[Partition]:
        """Make *changes* durable in one transaction, at most one of each lane.

        What was decided under an epoch that is over is left out. Returns the partitions of which
        nothing was written for that reason. *known* is as for rows. Subscriptions that are deleted get
        no row.
        """

    async def starts(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Sequence[Start]:
        """Return what was promised to these subscriptions on these partitions."""

    async def rows(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Collection[tuple[Position, SubscriptionId]]:
        """Return the deliveries of these subscriptions on these partitions that have a row."""

    async def keep_gap(self, gap: LaneGap, *, from_time: datetime) -> bool:
        """Keep what a lane doesn't deliver; tell whether it is a gap that nobody was told of.

        What retention takes extends the lane's last gap if nothing was delivered since; else that is
        over and told of, and this is another. What a person had it leap over is kept once.
        """

    async def told_gap(self, gap: LaneGap) -> None:
        """Note that the gap which has the end of *gap* was told of."""


class SubscriptionSource(Protocol):
    """All subscriptions that are not deleted, and word of changes."""

    async def load_all(self) -> Sequence[Subscription]:
        """Return all of them, secrets decrypted."""

    async def load(self, ids: Collection[SubscriptionId]) -> Sequence[Subscription]:
        """Return those of *ids* that exist; the others were deleted."""

    async def changed_within(self, seconds: float) -> Collection[SubscriptionId]:
        """Return which were made, changed or deleted within the last *seconds*."""

    def changes(self) -> AsyncIterator[Collection[SubscriptionId] | None]:
        """Yield ids as they change; None whenever notifications may have been missed.

        Ends never; survives the loss of its connection by itself.
        """

    async def disable(self, id_: SubscriptionId, *, reason: str, at: datetime) -> bool:
        """Disable it if it is active, and keep the operational event; tell whether that did anything."""


class GeofenceSource(Protocol):
    """All geofences that are not deleted, word of changes, and what the log says of them."""

    async def load_geofences(
        self, projects: Collection[ProjectId] | None = None
    ) -> Mapping[ProjectId, Sequence[Geofence]]:
        """Return those of *projects* (None: of all), by project; one without any may be absent."""

    def geofence_changes(self) -> AsyncIterator[Collection[ProjectId] | None]:
        """Yield projects whose geofences change; None whenever notifications may have been missed.

        Ends never; survives the loss of its connection by itself.
        """

    async def take_geofence(self, news: GeofenceNews) -> bool:
        """Store what an event says, unless what is stored is newer; tell whether that changed it.

        A deletion keeps an operational event for each subscription whose filter names it.
        """

    async def coordinate_order(self, project_id: ProjectId) -> CoordinateOrder | None:
        """Return which number comes first in a bare pair of the project; None: nobody said."""


class HealthRow(NamedTuple):
    """What one worker knows of one unhealthy subscription."""

    subscription_id: SubscriptionId
    failure_count: int
    """Failures in a row; 0 deletes the row."""
    outcome: str
    status: int | None
    since: datetime
    """Of the first failure in that row."""


class HealthStore(Protocol):
    """Tables `health` and `workers`: what the API knows of the workers."""

    async def report(self, *, worker: str, partitions: int, rows: Sequence[HealthRow]) -> None:
        """Upsert the changed rows of this worker and its sign of life, in one statement."""


class Troubled(NamedTuple):
    """What one worker saw of one subscription that fails, since it last reported."""

    subscription_id: SubscriptionId
    since: datetime
    """Of the first failure."""
    failed_at: datetime | None
    """Of the last failure that counts towards switching off; None: there was none."""
    reason: str | None
    """Why it is failing from now on; None: single failures so far."""


class TroubleReport(NamedTuple):
    """What follows from a report, and is told: the operational events are kept already."""

    failing: Mapping[SubscriptionId, str]
    """Not said to be failing before, and why."""
    recovered: Collection[SubscriptionId]
    """Said to be failing before, and well again: a success came last, and nothing waits."""
    troubled: Collection[SubscriptionId]
    """Whose successes are worth a note."""


class TroubleStore(Protocol):
    """Table `trouble`, shared by all workers: each step is told by one of them, once."""

    async def report_trouble(
        self,
        failed: Sequence[Troubled],
        succeeded: Mapping[SubscriptionId, datetime],
        *,
        now: datetime,
    ) -> TroubleReport:
        """Take in, in one transaction, what was noted; say what follows.

        What is disabled or deleted is in no trouble any more.
        """

    async def hopeless(self, after: timedelta) -> Collection[SubscriptionId]:
        """Return what has failed for so long without a success, and failed again since."""


class OperationStore(Protocol):
    """Table `operations`: what is told of changes is kept by whoever makes them, in one transaction."""

    async def waiting(self, *, limit: int) -> Sequence[Kept]:
        """Return what Kafka may not have yet, in order."""

    async def told(self, numbers: Sequence[int]) -> None:
        """Forget what Kafka has. A number that isn't there any more is fine."""


class Tally(NamedTuple):
    """A number of events."""

    all: int
    """Since the earlier of two times."""
    lately: int
    """Of them, since the later one."""


class Seen(NamedTuple):
    """Events of one type of one project."""

    events: int
    bytes: int
    """Of their records' values."""
    peak: int
    """The most of a second, as the records' timestamps have it, that came to one worker."""


FILTER = ""
"""In place of the pointer of a clause: the filter, each miss that was explained."""


class Clause(NamedTuple):
    """A clause of a subscription's filter."""

    subscription_id: SubscriptionId
    pointer: str
    """RFC 6901, in the subscription; or FILTER."""


class MatchCountStore(Protocol):
    """Tables `seen_counts`, `match_counts` and `miss_counts`, added to by all workers.

    In slots of five minutes; misses, which are a sample, in slots of an hour.
    """

    async def add(
        self,
        seen: Mapping[tuple[str, str], Seen],
        matched: Mapping[SubscriptionId, int],
        missed: Mapping[Clause, int],
        *,
        at: datetime,
    ) -> None:
        """Add what one worker counted: *seen* by (project, type), *matched* by subscription."""

    async def seen(
        self, project_id: ProjectId, *, since: datetime, lately: datetime
    ) -> Mapping[str, Tally]:
        """Return how many events of each type were seen in slots from *since* on."""

    async def volumes(self, project_id: ProjectId, *, since: datetime) -> Mapping[str, Seen]:
        """Return what was seen of each type in slots from *since* on."""

    async def matched(self, id_: SubscriptionId, *, since: datetime, lately: datetime) -> Tally:
        """Return how many events a subscription matched in slots from *since* on."""

    async def missed(self, id_: SubscriptionId, *, since: datetime) -> Mapping[str, int]:
        """Return how many explained misses each clause said no to, by pointer, FILTER: all."""


class Advance(NamedTuple):
    """How far a replay is on one partition."""

    replay_id: str
    partition: Partition
    epoch: int
    cursor: int
    sent: int
    dead: int
    waiting: bool


class ReplayStore(Protocol):
    """Tables `replays` and `replay_ranges`."""

    async def active(self, partitions: Collection[Partition]) -> Sequence[Replay]:
        """Return those that have something left to send on these partitions."""

    async def advance(self, advances: Sequence[Advance], *, at: datetime) -> Sequence[Replay]:
        """Keep how far ranges are, where the epoch stands; return the replays that are done now.

        Their ends are told: the operational events are kept.
        """

    async def fail(self, id_: str, *, error: str, at: datetime) -> Replay | None:
        """End one that can't go on, and return it; None where it had ended."""
