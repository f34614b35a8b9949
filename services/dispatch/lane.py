"""One lane: a subscription that has left the feed of a partition, under one epoch. Nothing awaits.

Its own tracker knows what is open: the lowest open offset is the cursor, `position` is the next to
read. While `detaching`, its row isn't durable yet, and what the feed reads waits in the feed's tracker.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.deliver.conditions import PROBES
from services.dispatch.anew import Anew
from services.feed.settled_map import SettledMap, decode, encode, settled_below
from services.feed.tracker import Tracker
from services.kernel.delivery import Member
from services.kernel.event import Batch, Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow, Reason, Start, StartKind
from services.kernel.subscription import Mode, Subscription
from services.lanes.transitions import Input, State, step

MAX_ENTRIES = 256
MAX_BYTES = 4 << 20
MAX_LATEST = 4_096
"""In mode `latest`: how many vehicles' positions may wait for their time, per partition."""
SMOOTH = 0.3
"""The weight of the latest second in the smoothed speed."""
BATCHES = 4
"""How many full batches a lane may hold: one that grows, and those in line or in flight."""


class Lane:
    """The range of a lane: from its cursor to `attach_at`, or to the end of the log."""

    __slots__ = (
        "_attach_at",
        "_dirty",
        "_measured",
        "_measured_at",
        "_passed_over",
        "_state",
        "anew",
        "asleep",
        "cursor_at",
        "edge",
        "flips",
        "flying",
        "free",
        "generation",
        "held_back",
        "held_bytes",
        "most",
        "on_shared_out",
        "reason",
        "rests_until",
        "scan",
        "served",
        "since",
        "speed",
        "stirred",
        "subscription_id",
        "tracker",
    )

    def __init__(
        self,
        subscription_id: SubscriptionId,
        *,
        known: SettledMap,
        reason: Reason,
        since: datetime,
        flips: int = 1,
        flying: dict[int, int] | None = None,
        state: State = State.DETACHING,
        attach_at: int | None = None,
        cursor_at: datetime | None = None,
    ) -> None:
        self.subscription_id = subscription_id
        self.reason = reason
        self.since = since
        self.flips = flips
        self._state = state
        self._attach_at = attach_at
        self._passed_over = attach_at is None and state is not State.DETACHING
        self.on_shared_out: Callable[[Lane], None] = lambda _: None
        """Called when it has become the feed's, or no longer is, to look at what matches."""
        self.tracker = Tracker(start=known.base + 1, settled=known)
        self.flying = flying or {}
        """Offsets that were in flight when it was detached, with their bytes: they aren't sent twice."""
        self.held_bytes = sum(self.flying.values())
        self.held_back = 0
        """Open, and neither in line nor in flight: positions that a newer one may take the place of."""
        self.cursor_at = cursor_at or since
        self.scan: Scan | None = None
        self.served = 0
        self.edge = 0
        """The last percentage of the log's retention that its owner was warned of."""
        self.most = MAX_ENTRIES
        self.asleep = False
        """It fell off its scan because it holds as much as it may; a settlement wakes it."""
        self.rests_until = 0.0
        """It isn't read before this time, monotonic seconds."""
        self.generation = 0
        """Grows each time it starts over: a row written before that describes it no longer."""
        self.anew = Anew()
        self.stirred: dict[SubscriptionId, Lane] = {}
        """Where it stands once its row may have to be written: `Lanes` has it for all of a partition."""
        self.free: dict[SubscriptionId, Lane] = {}
        """Where it stands once it may be read again, likewise."""
        self.dirty = True
        self.speed = 0.0
        """By how many offsets per second its cursor has moved lately."""
        self._measured_at = math.inf
        """When its row was last built, monotonic seconds."""
        self._measured = 0
        """The cursor at that time."""

    @property
    def position(self) -> int:
        """The next offset to read."""
        return self.tracker.read_pos

    @property
    def dirty(self) -> bool:
        """Whether its row must be written even if its cursor hasn't moved."""
        return self._dirty

    @dirty.setter
    def dirty(self, dirty: bool) -> None:
        self._dirty = dirty
        if dirty:
            self.stirred[self.subscription_id] = self

    @property
    def state(self) -> State:
        """Who delivers what."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self._shared_out()

    @property
    def attach_at(self) -> int | None:
        """Where the lane ends and the feed's part begins; None: all from the cursor on is the lane's."""
        return self._attach_at

    @attach_at.setter
    def attach_at(self, offset: int | None) -> None:
        self._attach_at = offset
        self._shared_out()

    def _shared_out(self) -> None:
        """Have the feed look again at what is its part, where that may have changed."""
        passed_over = self._attach_at is None and self._state is not State.DETACHING
        if passed_over is not self._passed_over:
            self._passed_over = passed_over
            self.on_shared_out(self)

    @property
    def passed_over(self) -> bool:
        """Whether the feed has nothing to do with any match: the row covers all from the cursor on."""
        return self._passed_over

    def owns(self, offset: int) -> bool:
        """Tell whether *offset* is the lane's to deliver; otherwise it is the feed's."""
        return self._attach_at is None or offset < self._attach_at

    def happens(self, given: Input) -> None:
        """Go on to the next state."""
        self.state = step(self.state, given)

    @property
    def is_ready(self) -> bool:
        """Whether its state allows it to be read."""
        if self.anew.is_awaited:
            return False
        if self.state is State.DRAINING:
            return self.attach_at is not None and self.position < self.attach_at
        return self.state in (State.DETACHED, State.CATCHING_UP)

    def bound(self, subscription: Subscription, *, probing: bool) -> None:
        """Update how much it may hold."""
        if probing:
            self.most = PROBES
        elif subscription.delivery.mode is Mode.LATEST:
            self.most = MAX_LATEST
        else:
            self.most = max(MAX_ENTRIES, BATCHES * (subscription.delivery.max_events or 0))

    @property
    def is_full(self) -> bool:
        """Whether it holds all it may."""
        under_way = self.tracker.open_count - self.held_back
        is_full = under_way >= self.most or self.held_back >= MAX_LATEST
        return is_full or self.held_bytes >= MAX_BYTES

    @property
    def has_room(self) -> bool:
        """Whether reading it again is worthwhile: half of what it may hold is free."""
        under_way = self.tracker.open_count - self.held_back
        return under_way * 2 <= self.most and self.held_bytes * 2 <= MAX_BYTES

    @property
    def left(self) -> list[int]:
        """What is open below where it ends."""
        return [offset for offset in self.tracker.known.open if self.owns(offset)]

    def start_over(self, known: SettledMap, flying: dict[int, int]) -> None:
        """Read again what *known* says is open, and what follows it."""
        self.leave()
        self.tracker = Tracker(start=known.base + 1, settled=known)
        self.flying = flying
        self.held_bytes = sum(flying.values())
        self.held_back = 0
        self.attach_at = None
        self.generation += 1
        self.asleep = False
        self.free[self.subscription_id] = self
        self.dirty = True
        self.speed, self._measured_at = 0.0, math.inf

    def begin_at(self, start: Start | None, *, rows: Iterable[int] = ()) -> None:
        """Begin where it was promised to; without a promise, go on where it is.

        *rows* are offsets that a retry row stands for.
        """
        settled = self.anew.found()
        if start is None:
            return
        self.anew.takes_start, self.dirty = start.epoch, True
        at, known = start.offset, self.tracker.known
        match start.kind:
            # Types that came before the first promise was taken over are in that.
            case StartKind.NEW if self.anew.before is None:
                self.start_over(settled_below(at), {})
            case StartKind.REWIND:
                self.reason = Reason.REWOUND
                self.anew.rewind(below=known.end if known.end > at else None, but={*rows, *settled})
                flying = {offset: size for offset, size in self.flying.items() if offset >= at}
                self.start_over(settled_below(at), flying)
            case _ if at < known.end:
                self.anew.skip(known)
                self.start_over(known.below(at), self.flying)

    def take(self, offset: int, size: int) -> bool:
        """Open *offset*, which matches; return False if it is settled already."""
        tracker = self.tracker
        tracker.register((offset,), next_offset=offset + 1)
        self.stirred[self.subscription_id] = self
        if not tracker.is_open(offset):
            return False
        tracker.open(offset, self.subscription_id)
        tracker.matched(offset)
        if offset not in self.flying:
            self.held_bytes += size
        return True

    def waits_for(self, offset: int) -> bool:
        """Tell whether *offset* is open, read or not."""
        return self.tracker.is_open(offset) or self.tracker.is_ahead(offset)

    def settle(self, offset: int, size: int) -> bool:
        """Settle *offset*; tell whether it was open."""
        self.anew.settle(offset)
        flew = self.flying.pop(offset, None)
        was_open = self.tracker.settle(offset, self.subscription_id)
        if was_open or flew is not None:
            self.held_bytes -= size
        if not was_open:
            self.tracker.skip(offset)
        self.stirred[self.subscription_id] = self
        self._wake()
        return was_open

    def landed(self, parts: Iterable[Member]) -> None:
        """Note that a request ended, and settled nothing yet."""
        for offset, size in parts:
            # If it was read again meanwhile, it stays open until it is settled.
            if self.flying.pop(offset, None) is not None and not self.tracker.is_open(offset):
                self.held_bytes -= size
        self._wake()

    def _wake(self) -> None:
        if self.asleep and self.has_room:
            self.asleep = False
            self.free[self.subscription_id] = self

    def rest(self, until: float) -> None:
        """Have it not read before *until*, monotonic seconds."""
        self.rests_until = until
        self.free[self.subscription_id] = self

    def pass_to(self, position: int) -> None:
        """Note that everything below *position* was read."""
        if self.attach_at is not None:
            position = min(position, self.attach_at)
        if position > self.tracker.read_pos:
            self.tracker.register((), next_offset=position)
            self.stirred[self.subscription_id] = self

    def leave(self) -> None:
        """Leave its scan, at the position that it has reached."""
        if self.scan is not None:
            self.scan.members.pop(self.subscription_id, None)
            self.scan = None
            self.free[self.subscription_id] = self

    def fall_off(self, offset: int) -> None:
        """Leave its scan at *offset*, for which there is no room."""
        self.pass_to(offset)
        self.leave()
        self.asleep = True

    def row(self, partition: Partition, *, epoch: int, now: float) -> LaneRow:
        """Return the row as it is *now*, monotonic seconds."""
        self.dirty = self.tracker.changed = False
        progress = self.tracker.progress()
        self._measure(progress.offset, now)
        self.anew.forget(progress.offset)
        settled, _ = encode(
            epoch=epoch, base=progress.offset, open_offsets=progress.open, end=progress.end
        )
        if self.scan is not None and not progress.open:
            self.cursor_at = datetime.fromtimestamp(self.scan.seen_ms / 1000, tz=UTC)
        return LaneRow(
            partition=partition,
            subscription_id=self.subscription_id,
            cursor=progress.offset,
            settled=settled,
            attach_at=self.attach_at,
            state=self.state.value,
            reason=self.reason,
            since=self.since,
            flips=self.flips,
            cursor_at=self.cursor_at,
            speed=self.speed,
            replay_below=self.anew.replay_below,
        )

    def _measure(self, cursor: int, now: float) -> None:
        """Smooth the speed over some seconds, because a scanner serves each lane only in turns."""
        if now > self._measured_at:
            latest = (cursor - self._measured) / (now - self._measured_at)
            self.speed = (
                latest if self.speed == 0.0 else self.speed + SMOOTH * (latest - self.speed)
            )
        self._measured_at, self._measured = now, cursor

    def __repr__(self) -> str:
        end = "∞" if self.attach_at is None else self.attach_at
        return f"<Lane {self.subscription_id} {self.state.value} {self.tracker!r} to {end}>"


@dataclass(eq=False)
class Scan:
    """A reader's way through a partition, and the lanes it reads for."""

    position: int
    turn: int
    slot: int
    read: int = 0
    seen_ms: int = 0
    """Timestamp of the last record."""
    members: dict[SubscriptionId, Lane] = field(default_factory=dict)
    rest: Batch | None = None
    """What was read but not taken when the last lane left: that lane comes back for it."""
    left_at: float = 0.0
    """When that was, monotonic seconds."""
    attach_at: float = 0.0
    """When to check again which of its lanes can be attached, monotonic seconds."""

    @property
    def in_hand(self) -> int:
        """Offsets from its position on that needn't be read."""
        return 0 if self.rest is None else self.rest.next_offset - self.position

    def set_aside(self, rest: Batch, now: float) -> None:
        """Keep *rest* for the lane that left at its first record: a fetch brings more than fits."""
        self.rest, self.left_at = rest, now
        self.position = rest.records[0].position.offset

    def end(self) -> None:
        """Let all lanes leave."""
        for lane in list(self.members.values()):
            lane.leave()


def lane_of(row: LaneRow, *, moved_below: int | None) -> Lane:
    """Return the lane that *row* stands for.

    *moved_below* is where a person moved the group back to, or where a log that was made anew ends:
    who stood above goes there too, and is in no row until that is written.
    """
    attached = row.attach_at
    if moved_below is not None and max(row.cursor, attached or 0) > moved_below:
        cursor = min(row.cursor, moved_below)
        known = settled_below(cursor)
        state, attached = State.DETACHING, None
    else:
        known = decode(row.settled, committed=row.cursor).settled
        still = known.open | {row.cursor}
        known = SettledMap(row.cursor - 1, max(known.end, row.cursor), still)
        state = State.DETACHED if attached is None else State.DRAINING
    lane = Lane(
        row.subscription_id,
        known=known,
        reason=row.reason,
        since=row.since,
        flips=row.flips,
        state=state,
        attach_at=attached,
        cursor_at=row.cursor_at,
    )
    lane.anew.replay_below = row.replay_below
    lane.dirty = state is State.DETACHING
    lane.tracker.changed = False
    return lane


def started(start: Start, *, now: datetime) -> Lane:
    """Return the lane of a promise that no lane stands for yet."""
    known = settled_below(start.offset)
    lane = Lane(start.subscription_id, known=known, reason=Reason.NEW, since=now)
    lane.anew.takes_start = start.epoch
    return lane
