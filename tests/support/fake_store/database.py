"""The database: every statement of the workers as one synchronous step."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count

from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.lane import (
    Drop,
    Keep,
    LaneChange,
    LaneGap,
    LaneGapReason,
    Start,
    StartKind,
)
from services.kernel.operation import About, Kept, Operation, disabled
from services.kernel.operation import gap as gap_operation
from services.kernel.ports.store.health import HealthRow
from services.kernel.ports.store.partitions import Assignment, Floor, Stand
from services.kernel.ports.store.retries import (
    Bury,
    KeyRow,
    LineKey,
    Park,
    RowChange,
    SettledRow,
    Usage,
    Waits,
)
from services.kernel.subscription import Ordered, Status, Subscription
from tests.support.fake_store.tables import (
    DeadRow,
    GapRow,
    LaneKey,
    PartitionRow,
    RetryRow,
    RowKey,
    Tables,
    Watcher,
)
from tests.support.processes import Process
from tests.support.server import GoneError, Server, State, no_time

PAGE = 3
"""Subscriptions read at a time: fewer than most worlds have."""


class FakeDatabase(Server):
    """The server."""

    def __init__(
        self,
        *,
        clock: Clock,
        latency: Callable[[], float] = no_time,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(latency=latency)
        self.clock = clock
        self.tables = Tables()
        self.changed_at: dict[SubscriptionId, datetime] = {}
        self.watcher = watcher or Watcher()
        self._listeners: list[_Line] = []
        self._numbers = count(1)

    def go(self, state: State) -> None:
        """Go down, cutting the lines that notifications come by, or come back."""
        super().go(state)
        if state is not State.UP:
            for line in self._listeners:
                line.cut()
            self._listeners.clear()

    def listen(self) -> "_Line":
        """Make a line that notifications come by from now on."""
        line = _Line()
        self._listeners.append(line)
        return line

    # What people do.

    def subscribe(self, subscription: Subscription, *, starts: Sequence[Start] = ()) -> None:
        """Store a new or a changed subscription, and from where on it is promised what."""
        self.tables.subscriptions[subscription.id] = subscription
        for start in starts:
            key = start.partition, start.subscription_id
            before = self.tables.starts.get(key)
            kept = start if before is None or start.kind is StartKind.REWIND else before
            if kept is start and before is not None:
                since = min(x for x in (before.since, before.offset) if x is not None)
                kept = replace(start, since=since)
            self.tables.starts[key] = replace(kept, epoch=subscription.epoch)
            if start.kind is StartKind.REWIND:
                self._skip_below(start)
        self._notify(subscription.id)

    def unsubscribe(self, id_: SubscriptionId) -> None:
        """Delete a subscription with its rows."""
        tables = self.tables
        del tables.subscriptions[id_]
        for table in (tables.retries, tables.lanes, tables.starts):
            for key in [key for key in table if key[1] == id_]:
                del table[key]  # type: ignore[attr-defined]
        self._notify(id_)

    def give_up(self, id_: SubscriptionId, reason: str) -> None:
        """Turn the retry rows of a subscription into dead letters."""
        for key in [key for key in self.tables.retries if key[1] == id_]:
            row = self.tables.retries.pop(key)
            self.tables.dead[key] = DeadRow(row.delivery, row.delivery.number - 1, reason)

    def disable(self, id_: SubscriptionId, reason: str) -> bool:
        """Disable a subscription if it is active, and tell."""
        found = self.tables.subscriptions.get(id_)
        if found is None or found.status is not Status.ACTIVE:
            return False
        self.subscribe(replace(found, status=Status.DISABLED, version=found.version + 1))
        trouble = self.tables.trouble.pop(id_, None)
        failures = sum(
            row.failure_count for (of, _), row in self.tables.health.items() if of == id_
        )
        since = trouble.begun if trouble is not None else None
        told = disabled(About.of(found), reason=reason, failure_count=max(1, failures), since=since)
        self.keep([told])
        return True

    def keep(self, operations: Sequence[Operation]) -> None:
        """Have *operations* told."""
        for operation in operations:
            number = next(self._numbers)
            kept = Kept(number=number, operation=operation, at=self.clock.now())
            self.tables.operations.append(kept)
            self.watcher.kept(kept)

    def forget(self, numbers: Collection[int]) -> None:
        """Cross out what was told."""
        self.tables.operations = [
            kept for kept in self.tables.operations if kept.number not in numbers
        ]

    def _notify(self, id_: SubscriptionId) -> None:
        self.changed_at[id_] = self.clock.now()
        for line in self._listeners:
            line.ring(id_)

    # What workers do.

    def assign(
        self, process: Process | None, floors: Mapping[Partition, Floor], worker: str
    ) -> dict[Partition, Assignment]:
        """Begin epochs, and load what they begin with."""
        return {p: self._assign(process, p, floor, worker) for p, floor in sorted(floors.items())}

    def _assign(
        self, process: Process | None, partition: Partition, floor: Floor, worker: str
    ) -> Assignment:
        row = self.tables.partitions.setdefault(partition, PartitionRow(0, worker))
        behind = row.epoch < floor.epoch or row.writes < floor.writes
        before = row.epoch
        if not behind:
            row.epoch += 1
            self.watcher.assigned(process, partition, row.epoch)
        row.worker = worker
        behind: dict[SubscriptionId, int] = {}
        for (of, id_), at in (
            *((key, lane.cursor) for key, lane in self.tables.lanes.items()),
            *((key, start.offset) for key, start in self.tables.starts.items()),
        ):
            if of == partition:
                behind[id_] = min(at, behind.get(id_, floor.offset))
        settled: list[SettledRow] = []
        usage: dict[SubscriptionId, Usage] = defaultdict(lambda: Usage(0, 0))
        for (position, id_, _), retry in self.tables.retries.items():
            if position.partition == partition:
                if retry.due_at is None and retry.waits_for is Waits.TIME:
                    retry.due_at = self.clock.now()
                settled += _settled_by(retry.delivery, behind.get(id_, floor.offset), dead=False)
                size = len(retry.delivery.body)
                usage[id_] = Usage(usage[id_].rows + 1, usage[id_].bytes + size)
        for (position, id_, _), row_ in self.tables.dead.items():
            if position.partition == partition:
                settled += _settled_by(row_.delivery, behind.get(id_, floor.offset), dead=True)
        return Assignment(
            epoch=row.epoch,
            committed=row.committed,
            committed_epoch=before,
            settled=settled,
            usage=dict(usage),
            keys=[
                KeyRow(id_, key, position.offset, retry.waits_for is Waits.TURN)
                for (position, id_, _), retry in self.tables.retries.items()
                if position.partition == partition and (key := self._key_of(retry)) is not None
            ],
            lanes=[lane for (of, _), lane in self.tables.lanes.items() if of == partition],
            starts=[start for (of, _), start in self.tables.starts.items() if of == partition],
            writes=row.writes,
        )

    def _key_of(self, row: RetryRow) -> str | None:
        """Return the order key of a row, where its subscription is ordered."""
        subscription = self.tables.subscriptions.get(row.delivery.subscription_id)
        if subscription is None or subscription.ordered is not Ordered.KEY:
            return None
        return row.delivery.key if row.delivery.order is None else row.delivery.order

    def stands(self, partition: Partition, epoch: int, writes: int = 0) -> bool:
        """Tell whether *epoch* is the present one, and so many writes are known: every write asks."""
        row = self.tables.partitions.get(partition)
        return row is not None and row.epoch == epoch and row.writes >= writes

    def release(self, epochs: Mapping[Partition, int]) -> None:
        """End epochs."""
        for partition, epoch in epochs.items():
            if self.stands(partition, epoch):
                self.tables.partitions[partition].epoch += 1

    def report_stands(self, stands: Mapping[Partition, Stand]) -> list[Partition]:
        """Keep where partitions stand; return those whose epoch is over."""
        over = []
        for partition, stand in stands.items():
            if not self.stands(partition, stand.epoch, stand.writes):
                over.append(partition)
            elif stand.committed is not None:
                self.tables.partitions[partition].committed = stand.committed
        return over

    def write(
        self,
        process: Process | None,
        changes: Sequence[RowChange],
        known: Mapping[Partition, int],
    ) -> dict[Partition, int]:
        """Change rows, but not those of epochs that are over."""
        asked = {(c.delivery.position.partition, c.delivery.epoch) for c in changes}
        standing = self._counted(asked, known)
        # Of several changes of one row the last holds.
        newest = {
            _key(change.delivery): change
            for change in changes
            if (change.delivery.position.partition, change.delivery.epoch) in standing
        }
        for change in newest.values():
            self._change(change)
            self.watcher.written(process, change)
        return self._writes(standing)

    def _counted(
        self, asked: Collection[tuple[Partition, int]], known: Mapping[Partition, int]
    ) -> set[tuple[Partition, int]]:
        """Return which of these epochs stand; each counts a write more."""
        standing = {(p, epoch) for p, epoch in asked if self.stands(p, epoch, known.get(p, 0))}
        for partition, _ in standing:
            self.tables.partitions[partition].writes += 1
        return standing

    def _writes(self, standing: Collection[tuple[Partition, int]]) -> dict[Partition, int]:
        return {partition: self.tables.partitions[partition].writes for partition, _ in standing}

    def _change(self, change: RowChange) -> None:
        delivery = change.delivery
        key = _key(delivery)
        known = delivery.subscription_id in self.tables.subscriptions
        if isinstance(change, Park):
            if known:
                before = self.tables.retries.get(key)
                kept = replace(before.delivery, number=delivery.number) if before else delivery
                outcome = change.attempt.outcome.value if change.attempt else None
                row = RetryRow(kept, change.due_at, outcome, change.waits_for)
                if before is not None and before.skip:
                    row = RetryRow(kept, self.clock.now(), outcome, skip=True)
                self.tables.retries[key] = row
            return
        self.tables.retries.pop(key, None)
        if isinstance(change, Bury) and known:
            attempts = delivery.number if change.attempt else delivery.number - 1
            self.tables.dead[key] = DeadRow(delivery, attempts, change.reason)

    def due(
        self,
        epochs: Mapping[Partition, int],
        now: datetime,
        limit: int,
        skip: Collection[tuple[Position, SubscriptionId]],
        busy: Collection[SubscriptionId],
    ) -> list[Delivery]:
        """Return what is due."""
        held = set(skip)
        rows = [
            (row.due_at, row)
            for (position, id_, _), row in self.tables.retries.items()
            if row.due_at is not None
            and row.due_at <= now
            and self.stands(position.partition, epochs.get(position.partition, 0))
            and (position, id_) not in held
            and id_ not in busy
            and (of := self.tables.subscriptions.get(id_)) is not None
            and of.status is Status.ACTIVE
        ]
        rows.sort(key=lambda pair: pair[0])
        return [self._picked(row, epochs) for _, row in rows[:limit]]

    def turns(
        self, epochs: Mapping[Partition, int], lines: Sequence[LineKey], limit: int
    ) -> list[Delivery]:
        """Return the first rows of each of *lines* that wait for their turn."""
        found = []
        for line in lines:
            of = self.tables.subscriptions.get(line.subscription_id)
            if of is None or of.status is not Status.ACTIVE:
                continue
            if not self.stands(line.partition, epochs.get(line.partition, 0)):
                continue
            rows = [
                row
                for (position, id_, _), row in sorted(self.tables.retries.items())
                if row.waits_for is Waits.TURN
                and (id_, position.partition, self._key_of(row)) == line
            ]
            found += [self._picked(row, epochs) for row in rows[:limit]]
        return found

    def _picked(self, row: RetryRow, epochs: Mapping[Partition, int]) -> Delivery:
        return replace(
            row.delivery,
            epoch=epochs[row.delivery.position.partition],
            trigger=Trigger.RETRY if row.outcome else Trigger.LIVE,
            retry_reason=row.outcome,
            order=self._key_of(row),
            skip=row.skip,
        )

    def release_key(self, id_: SubscriptionId, key: str, *, skip: bool) -> int:
        """Have the first events of a key tried again, or given up; return how many."""
        firsts: dict[Partition, RetryRow] = {}
        for (position, of, _), row in sorted(self.tables.retries.items()):
            if of == id_ and self._key_of(row) == key:
                firsts.setdefault(position.partition, row)
        for row in firsts.values():
            row.skip = row.skip or skip
            if row.due_at is not None or row.waits_for is not Waits.TIME:
                row.due_at, row.waits_for = self.clock.now(), Waits.TIME
        return len(firsts)

    def _skip_below(self, start: Start) -> None:
        """Have the rows from before a rewind given up by their owner, and none from after it."""
        for (position, id_, _), row in self.tables.retries.items():
            if (position.partition, id_) != (start.partition, start.subscription_id):
                continue
            row.skip = row.delivery.parts[-1].offset < start.offset
            if row.skip and (row.due_at is not None or row.waits_for is not Waits.TIME):
                row.due_at, row.waits_for = self.clock.now(), Waits.TIME

    def change_lanes(
        self,
        process: Process | None,
        changes: Sequence[LaneChange],
        known: Mapping[Partition, int],
    ) -> dict[Partition, int]:
        """Write and delete lanes, but not those of epochs that are over."""
        standing = self._counted({(_lane_key(c)[0], c.epoch) for c in changes}, known)
        for change in changes:
            key = _lane_key(change)
            if (key[0], change.epoch) not in standing:
                continue
            before = self.tables.lanes.get(key)
            if isinstance(change, Drop):
                self.tables.lanes.pop(key, None)
            elif key[1] in self.tables.subscriptions:
                self.tables.lanes[key] = change.row
            start = self.tables.starts.get(key)
            took = change.takes_start
            if start is not None and took is not None:
                self.tables.starts[key] = replace(start, since=None)
                if start.epoch <= took:
                    del self.tables.starts[key]
            row = change.row if isinstance(change, Keep) else None
            self._end_gaps(key, row.cursor if row else None, row.cursor_at if row else None)
            self.watcher.lane_changed(process, change, before)
        return self._writes(standing)

    def starts(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> list[Start]:
        """Return what was promised."""
        return [
            start
            for (partition, id_), start in self.tables.starts.items()
            if partition in partitions and id_ in ids
        ]

    def rows_of(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> list[tuple[Position, SubscriptionId]]:
        """Return what rows of these stand for, but those that a rewind gave up."""
        return [
            (Position(position.partition, part.offset), id_)
            for (position, id_, _), row in self.tables.retries.items()
            if position.partition in partitions and id_ in ids and not self._is_given_up(row)
            for part in row.delivery.parts
        ]

    def _is_given_up(self, row: RetryRow) -> bool:
        """Tell whether *row* is from before where its subscription is to begin anew."""
        delivery = row.delivery
        start = self.tables.starts.get((delivery.position.partition, delivery.subscription_id))
        return row.skip and start is not None and delivery.parts[-1].offset < start.offset

    def move_lanes_back(
        self,
        process: Process | None,
        partition: Partition,
        epoch: int,
        offset: int,
        begins: Mapping[SubscriptionId, int],
    ) -> None:
        """Have lanes that stand above *offset* go on there, or where they began."""
        if not self.stands(partition, epoch):
            return
        for key, row in list(self.tables.lanes.items()):
            to = max(offset, begins.get(key[1], offset))
            if key[0] == partition and max(row.cursor, row.attach_at or 0) > to:
                cursor = min(row.cursor, to)
                moved = replace(row, cursor=cursor, settled="", attach_at=None, state="detached")
                self.tables.lanes[key] = moved
                self.watcher.lane_changed(process, Keep(epoch, moved), row)

    def _end_gaps(self, key: LaneKey, passed: int | None, at: datetime | None) -> None:
        """Have the open gap of a lane end, where it is past it, and tell; None: past everything."""
        for n, row in enumerate(self.tables.gaps):
            if (row.partition, row.subscription_id) != key or not row.is_open:
                continue
            if passed is None or row.to_offset < passed:
                self.tables.gaps[n] = row._replace(is_open=False)
                told = gap_operation(
                    About.of(self.tables.subscriptions[key[1]]),
                    row.partition,
                    from_offset=row.from_offset,
                    to_offset=row.to_offset,
                    from_time=row.from_time,
                    to_time=at,
                    reason=row.reason,
                )
                self.keep([told])

    def record_gap(self, gap: GapRow, operations: Sequence[Operation]) -> None:
        """Keep a gap of a whole partition, and have it told."""
        self.tables.gaps.append(gap)
        self.keep(operations)

    def keep_gap(self, gap: LaneGap, from_time: datetime) -> bool:
        """Keep a gap, or extend the one that is open; tell whether nobody was told of it."""
        key = gap.partition, gap.subscription_id, gap.reason.value
        if gap.subscription_id not in self.tables.subscriptions:
            return False
        skipped = gap.reason is LaneGapReason.SKIPPED
        if not skipped:  # what was delivered since ends the one before
            self._end_gaps((gap.partition, gap.subscription_id), gap.from_offset, gap.at)
        for n, row in enumerate(self.tables.gaps):
            if (row.partition, row.subscription_id, row.reason) != key:
                continue
            if skipped and row.to_offset == gap.to_offset and row.from_offset <= gap.from_offset:
                return not row.told
            if not row.is_open:
                continue
            to_offset = max(row.to_offset, gap.to_offset)
            self.tables.gaps[n] = row._replace(to_offset=to_offset, at=gap.at)
            return not row.told
        self.tables.gaps.append(
            GapRow(
                gap.partition,
                gap.from_offset,
                gap.to_offset,
                gap.reason.value,
                gap.at,
                gap.subscription_id,
                is_open=not skipped,
                from_time=from_time,
            )
        )
        return True

    def subscriptions_after(self, id_: str) -> list[Subscription]:
        """Return the next few."""
        stored = self.tables.subscriptions
        return [stored[each] for each in sorted(stored) if each > id_][:PAGE]

    def told_gap(self, gap: LaneGap) -> None:
        """Note that a gap was told of."""
        key = gap.partition, gap.subscription_id, gap.reason.value, gap.to_offset
        for n, row in enumerate(self.tables.gaps):
            if (row.partition, row.subscription_id, row.reason, row.to_offset) == key:
                self.tables.gaps[n] = row._replace(told=True)

    def report(self, worker: str, rows: Sequence[HealthRow]) -> None:
        """Upsert health."""
        for row in rows:
            if row.failure_count:
                self.tables.health[row.subscription_id, worker] = row
            else:
                for key in [k for k in self.tables.health if k[0] == row.subscription_id]:
                    del self.tables.health[key]


def _settled_by(delivery: Delivery, floor: int, *, dead: bool) -> list[SettledRow]:
    """Return what a row stands for, from *floor* on; of a batch all: a retry where it ends there."""
    offset, id_ = delivery.position.offset, delivery.subscription_id
    last = delivery.members[-1].offset if delivery.members and not dead else offset
    if last < floor:
        return []
    if not delivery.members:
        return [SettledRow(offset, id_, delivery.event_id, dead)]
    return [SettledRow(part.offset, id_, None, dead) for part in delivery.members]


def _key(delivery: Delivery) -> RowKey:
    return delivery.position, delivery.subscription_id, delivery.event_id


def _lane_key(change: LaneChange) -> LaneKey:
    if isinstance(change, Keep):
        return change.row.partition, change.row.subscription_id
    return change.partition, change.subscription_id


class _Line:
    """Notifications to one listener."""

    def __init__(self) -> None:
        self._changed: dict[SubscriptionId, None] = {}
        self._bell = asyncio.Event()
        self._is_cut = False

    def ring(self, id_: SubscriptionId) -> None:
        self._changed[id_] = None
        self._bell.set()

    def cut(self) -> None:
        self._is_cut = True
        self._bell.set()

    async def heard(self) -> list[SubscriptionId]:
        """Wait for what changed. Raises GoneError when the line is cut."""
        await self._bell.wait()
        self._bell.clear()
        if self._is_cut:
            raise GoneError("the line was cut")
        ids, self._changed = list(self._changed), {}
        return ids
