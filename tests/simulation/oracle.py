"""What must hold, whatever happens: checked at each commit, each row, each request, and at the end.

commit safety      no open offset lies below a committed one, nor in what its metadata calls settled
durable            what counts as settled is an acknowledgement that a worker heard, or a row
epochs             rows are changed by the process alone to which Postgres gave the present epoch
at least once      at the end every due pair is acknowledged, dead, or its subscription is deleted
repeats            after what was acknowledged: only where a fault explains it; same `webhook-id`
no zombie          who slept for longer than a session sends nothing before the group has heard of it
one at a time      a pair is never in flight twice in one process under one epoch
latest             what is left out of a vehicle's positions has a newer one that is not
told               at the end the log has each operational event that was kept, the same each time
gaps               what is left out is in a gap, and its subscription is told, of a whole partition's too
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import orjson

from services.catalogue import event_types
from services.feed.decode import derived_id
from services.feed.settled_map import decode
from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position, Record
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Keep, LaneChange, LaneRow, Start, StartKind
from services.kernel.operation import OPS_TOPIC, Kept
from services.kernel.ports.broker import Commit
from services.kernel.ports.store.retries import Bury, Park, RowChange
from services.kernel.subscription import Status, Subscription
from tests.support.fake_kafka import CommitWatcher, FakeKafka
from tests.support.fake_receivers import Seen
from tests.support.fake_store import FakeDatabase, Watcher
from tests.support.processes import Process

Pair: TypeAlias = tuple[Position, SubscriptionId]
RowKey: TypeAlias = tuple[Position, SubscriptionId, str]


class Batch(NamedTuple):
    """A batch as it was made."""

    body: bytes
    pairs: Sequence[Pair]


GAP = "webhook.gap"
POSITION = "vehicle.position"
"""A stream: chosen by name alone."""
SKIPPED = "skipped"
"""Why a row was given up that nobody tried to the end."""
WRITE_SECONDS = 3.0
"""By then Postgres has answered, or is said to be gone."""
HEARD_OF_SECONDS = 75.0
"""By then every worker has heard of a change, whatever was lost on the way."""


class BrokenPromiseError(AssertionError):
    """Something happened that must not."""


class Produced(NamedTuple):
    """One record in the log."""

    token: str
    record: Record
    type: str | None
    """None: it is no event, and belongs to the quarantine or to nobody."""
    webhook_id: str
    due: tuple[SubscriptionId, ...]
    """Subscriptions that match, and begin at or below it."""
    project: str
    quarantined: bool
    fix: float | None = None
    """Of a position: when it was taken."""


class Heard(NamedTuple):
    """An acknowledgement that reached a worker."""

    began: float
    at: float
    process: Process


class Trouble(NamedTuple):
    """A time in which something went wrong, or a worker let go."""

    begin: float
    end: float
    what: str
    process: Process | None
    graceful: float | None
    """Seconds that requests in flight were waited for; None: not graceful."""


class Asked(NamedTuple):
    """A person had a subscription go on elsewhere, or added types to it."""

    at: float
    offsets: Mapping[Partition, int] | None = None
    """From where on all is to be sent again, what is delivered before its owner hears of it too. Later
    ones don't undo that. None: nothing is, there are more types."""


class Reset(NamedTuple):
    """A person moved the group."""

    offset: int
    at: float
    rows: set[Pair]
    """What had one then."""
    across: set[Pair]
    """What lies below, and at or above the cursor of its lane then."""


@dataclass
class Oracle(Watcher, CommitWatcher):
    """Watches."""

    note: Callable[[str], None]
    produced: dict[Position, Produced] = field(default_factory=dict)
    heard: dict[Pair, list[Heard]] = field(default_factory=lambda: defaultdict(list))
    seen: dict[Pair, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    began: dict[Pair, list[float]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[tuple[Partition, SubscriptionId], int] = field(default_factory=dict)
    troubles: list[Trouble] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    kafka: FakeKafka = field(init=False)
    database: FakeDatabase = field(init=False)
    rewound: dict[SubscriptionId, list[Asked]] = field(default_factory=lambda: defaultdict(list))
    """When a person had it begin elsewhere."""
    widened: dict[tuple[Partition, SubscriptionId], Subscription] = field(default_factory=dict)
    """What a subscription was before types came to it."""
    again: dict[Pair, float] = field(default_factory=dict)
    """Since when a person wants it again."""
    batches: dict[RowKey, Batch] = field(default_factory=dict)
    """All that were sent or written, by the key of their row."""
    deleted: set[Pair] = field(default_factory=set)
    """What retention took before it was settled."""
    skipped: set[Pair] = field(default_factory=set)
    """What a person left out."""
    to_tell: dict[str, Kept] = field(default_factory=dict)
    """Operational events that were kept, by id."""
    gaps_told: dict[Pair, int] = field(default_factory=dict)
    """Of subscriptions, by where each of their gaps begins: where it ends."""
    woken: dict[Process, tuple[float, float]] = field(default_factory=dict)
    """For how long each slept the last time, and until when."""
    latest: set[SubscriptionId] = field(default_factory=set)
    """Who ever wanted the latest position of each vehicle alone."""
    limits: dict[SubscriptionId, float] = field(default_factory=dict)
    """Who wants no positions that are older, in seconds, while there are newer ones."""
    jumped: bool = False
    """Whether the clock on the wall jumped: then nobody can say how old something was."""
    positions: dict[tuple[Partition, bytes], list[Position]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By vehicle."""
    rows: dict[Pair, int] = field(default_factory=dict)
    """The epoch under which each first got one."""
    released: set[Pair] = field(default_factory=set)
    """What a person freed its key of, without another attempt."""
    resets: dict[Partition, list[Reset]] = field(default_factory=lambda: defaultdict(list))
    """Where a person moved the group to."""
    _tokens: dict[str, Position] = field(default_factory=dict)
    _owners: dict[tuple[Partition, int], Process | None] = field(default_factory=dict)
    _flying: set[tuple[Process, int, Pair]] = field(default_factory=set)

    def breaks(self, promise: str) -> None:
        """Note a broken promise: raised by whoever runs the world, since nobody hears servers."""
        self.note(f"BROKEN: {promise}")
        self.broken.append(promise)

    def raise_broken(self) -> None:
        """Raise what was noted."""
        if self.broken:
            raise BrokenPromiseError("; ".join(self.broken[:5]))

    # What is told.

    def produce(self, produced: Produced) -> None:
        """Take in a record."""
        self.produced[produced.record.position] = produced
        self._tokens[produced.token] = produced.record.position
        if produced.fix is not None:
            key = produced.record.position.partition, produced.record.key or b""
            self.positions[key].append(produced.record.position)

    def heard_of(self, process: Process | None) -> None:
        """Take in that the group knew a member: one that it forgets after that can't know it at once."""
        if process is not None:
            self.woken.pop(process, None)

    def assigned(self, process: Process | None, partition: Partition, epoch: int) -> None:
        """Remember whose epoch it is; to get one is to be known to the group."""
        self.heard_of(process)
        self._owners[partition, epoch] = process
        self.note(f"epoch {epoch} of {partition}")

    def written(self, process: Process | None, change: RowChange) -> None:
        """Hold a row change to its epoch."""
        partition, epoch = change.delivery.position.partition, change.delivery.epoch
        self.counts[type(change).__name__] += 1
        self.pairs_of(change.delivery)
        self.note(f"row {type(change).__name__} {change.delivery!r} epoch {epoch}")
        if self.database.tables.partitions[partition].epoch != epoch:
            self.breaks(f"{change.delivery!r} was written under epoch {epoch}, which is over")
        if self._owners.get((partition, epoch)) is not process:
            self.breaks(f"{process} wrote {change.delivery!r} under an epoch of another")
        if isinstance(change, Park):
            self.rows.setdefault(change.delivery.pair, epoch)
        if isinstance(change, Bury):
            self._buried(change)

    def lane_changed(
        self, process: Process | None, change: LaneChange, before: LaneRow | None
    ) -> None:
        """Hold a lane to its epoch, and to what it doesn't cover any more."""
        row = change.row if isinstance(change, Keep) else before
        self.counts[type(change).__name__] += 1
        self.note(f"lane {type(change).__name__} {row!r} was {before!r} by {process}")
        if row is None:
            return
        if self._owners.get((row.partition, change.epoch)) is not process:
            self.breaks(f"{process} wrote {row!r} under an epoch of another")
        for position, produced in self.produced.items():
            if position.partition == row.partition and row.subscription_id in produced.due:
                self._judge_reach(position, row.subscription_id, f"{row!r} was written")

    def committed(
        self, process: Process | None, commits: Mapping[Partition, Commit], owned: set[Partition]
    ) -> None:
        """Hold a commit to what is settled."""
        self.counts["commits"] += 1
        for partition, commit in commits.items():
            self.note(f"commit {partition} {commit.offset} {commit.metadata} by {process}")
            if partition not in owned:
                self.breaks(f"{process} committed {partition}, which the group gave to another")
            self._judge(partition, commit)

    def kept(self, kept: Kept) -> None:
        """Remember what is to be told."""
        self.note(f"kept {kept.operation.type} of {kept.operation.subscription_id}")
        self.to_tell[kept.id] = kept
        if kept.operation.type == GAP:
            data = kept.operation.data
            begin = Position(Partition(data["topic"], data["partition"]), data["from_offset"])
            pair = begin, SubscriptionId(kept.operation.subscription_id)
            self.gaps_told[pair] = max(data["to_offset"], self.gaps_told.get(pair, 0))

    def flies(self, process: Process, delivery: Delivery, now: float) -> None:
        """Take in that a request begins."""
        for pair in self.pairs_of(delivery):
            key = (process, delivery.epoch, pair)
            if process in self.woken and self.kafka.group.owner(pair[0].partition) is not process:
                slept, woke = self.woken[process]
                if slept >= self.kafka.group.session_timeout and not self._knows(process):
                    self.breaks(
                        f"{process} slept {slept:.1f} s until {woke:.3f}, and sent {delivery!r}"
                    )
            had_row = any(pair in reset.rows for reset in self.resets[pair[0].partition])
            if key in self._flying and not (had_row and delivery.is_batch):
                self.breaks(f"{delivery!r} is in flight twice in {process}")
            self._flying.add(key)
            self.began[pair].append(now)

    def lands(
        self, process: Process, delivery: Delivery, attempt: Attempt, *, began: float, now: float
    ) -> None:
        """Take in that an answer reached its worker."""
        self.note(f"answer {delivery!r}: {attempt.outcome.value}")
        for pair in self.pairs_of(delivery):
            self._flying.discard((process, delivery.epoch, pair))
            if attempt.outcome is Outcome.CONNECT:
                self.unreached[pair] += 1
            if attempt.outcome is Outcome.OK:
                self.heard[pair].append(Heard(began, now, process))

    def pairs_of(self, delivery: Delivery) -> Sequence[Pair]:
        """Return what *delivery* settles; of a batch that comes from its row, what it was made of."""
        if not delivery.is_batch:
            return [delivery.pair]
        partition, id_ = delivery.position.partition, delivery.subscription_id
        key = (delivery.position, id_, delivery.event_id)
        if delivery.members:
            made = [(Position(partition, part.offset), id_) for part in delivery.members]
            known = self.batches.setdefault(key, Batch(delivery.body, made))
            if known.body != delivery.body:
                self.breaks(f"{delivery!r} was made anew, of other bytes")
        return self.batches[key].pairs

    def rows_of(self, position: Position, id_: SubscriptionId) -> list[RowKey]:
        """Return the keys that a row may have which stands for a pair."""
        alone = (position, id_, self.produced[position].webhook_id)
        batches = [key for key, batch in self.batches.items() if (position, id_) in batch.pairs]
        return [alone, *batches]

    def _knows(self, process: Process) -> bool:
        """Tell whether the group has *process* as a member."""
        return any(member.process is process for member in self.kafka.group.members.values())

    def woke(self, process: Process, seconds: float, now: float) -> None:
        """Take in that *process* goes on after so long."""
        self.woken[process] = seconds, now

    def arrived(self, seen: Seen) -> None:
        """Hold a request to the event that it brings."""
        position = self._tokens[seen.token]
        produced = self.produced[position]
        self.counts["requests"] += 1
        begins = self.starts[position.partition, SubscriptionId(seen.subscription_id)]
        if position.offset < begins and not self._is_replayed(produced, seen.subscription_id):
            self.breaks(f"{position} was sent to {seen.subscription_id}, which begins at {begins}")
        if seen.webhook_id != produced.webhook_id:
            self.breaks(f"{position} came as {seen.webhook_id}, not {produced.webhook_id}")
        self.seen[position, SubscriptionId(seen.subscription_id)].append(seen)

    def end_troubles(self, moment: float) -> None:
        """From *moment* on nothing goes wrong any more; what went wrong may still take its time."""
        self.troubles = [
            trouble._replace(end=min(trouble.end, moment + 15)) for trouble in self.troubles
        ]

    def subscribed(self, subscription: Subscription, starts: Sequence[Start]) -> None:
        """Take in a subscription, and what it is promised of what is there already."""
        self.starts.update(((s.partition, s.subscription_id), s.offset) for s in starts)
        for position, produced in self.produced.items():
            begins = self.starts[position.partition, subscription.id]
            if (
                position.offset >= begins
                and produced.type is not None
                and wants(subscription, produced.type, produced.project)
            ):
                due = (*produced.due, subscription.id)
                self.produced[position] = produced._replace(due=due)

    def _is_replayed(self, produced: Produced, id_: str) -> bool:
        """Tell whether a person moved the group back: then times say what is from before, to the ms."""
        known = self.database.tables.subscriptions.get(SubscriptionId(id_))
        return bool(self.resets[produced.record.position.partition]) and (
            known is None or produced.record.timestamp_ms >= known.begins_ms
        )

    def reset(self, partition: Partition, offset: int, *, known: int | None, now: float) -> None:
        """Take in that a person moves the group to *offset*; Postgres has *known* as committed.

        What lies above is delivered again, but what has a row. What lies between *known* and above
        is left out, but what a lane or a promise is there for.
        """
        rows: set[Pair] = set()
        across: set[Pair] = set()
        self.resets[partition].append(Reset(offset, now, rows, across))
        self._committed[partition] = offset
        tables = self.database.tables
        for position, produced in self.produced.items():
            if position.partition != partition:
                continue
            for id_ in produced.due:
                pair = position, id_
                lane, start = tables.lanes.get((partition, id_)), (partition, id_) in tables.starts
                row = any(key in tables.retries for key in self.rows_of(position, id_))
                if row:
                    rows.add(pair)
                # A lane that reaches across goes on from its cursor: what it knew above is dropped.
                if lane is not None and lane.cursor <= position.offset < offset:
                    across.add(pair)
                if position.offset < offset:
                    if not self.is_settled(*pair) and not self.is_covered(*pair):
                        self.skipped.add(pair)
                elif known is not None and offset < known and not row and not start:
                    moves = lane is None or max(lane.cursor, lane.attach_at or 0) > offset
                    begins = (
                        tables.subscriptions[id_].begins_ms if id_ in tables.subscriptions else 0
                    )
                    if moves and produced.record.timestamp_ms > begins:
                        self.again[pair] = now + WRITE_SECONDS
                        self.skipped.discard(pair)

    def restored(self, now: float) -> None:
        """Take in that Postgres is as it was: what was told is told, and nobody knows of the rest."""
        self.troubles.append(Trouble(now, now, "restore", None, None))
        log = self.kafka.logs[Partition(OPS_TOPIC, 0)]
        told = {orjson.loads(record.value or b"{}")["id"] for record in log.records}
        told |= {kept.id for kept in self.database.tables.operations}
        self.to_tell = {id_: kept for id_, kept in self.to_tell.items() if id_ in told}
        for partition, commit in self.kafka.group.offsets.items():
            if not commit.metadata:  # a person has moved it, to above what is known now
                self.skipped |= {
                    (position, id_)
                    for position, produced in self.produced.items()
                    if position.partition == partition and position.offset < commit.offset
                    for id_ in produced.due
                    if not self.is_settled(position, id_) and not self.is_covered(position, id_)
                }
        for partition, log in self.kafka.logs.items():
            self.retention(
                partition, log.start
            )  # rows that stood for what is gone there are gone too

    def forget(self, partition: Partition) -> None:
        """Forget a log that is gone: what is written from now on begins at 0 again."""
        for known in (self.produced, self.heard, self.seen, self.began, self.again):
            for key in list(known):
                position = key if isinstance(key, Position) else key[0]
                if position.partition == partition:
                    del known[key]
        for pairs in (self.skipped, self.deleted):
            pairs -= {pair for pair in pairs if pair[0].partition == partition}
        self.positions = defaultdict(
            list, {k: p for k, p in self.positions.items() if k[0] != partition}
        )
        self.batches = {k: b for k, b in self.batches.items() if k[0].partition != partition}
        self.widened = {k: w for k, w in self.widened.items() if k[0] != partition}
        self.starts |= dict.fromkeys((key for key in self.starts if key[0] == partition), 0)
        self._committed[partition] = 0
        self.resets.pop(partition, None)

    def passed_over(self, topic: str) -> None:
        """Take in that all there is of a topic by now may be left out, if it is said."""
        for position, produced in self.produced.items():
            if position.partition.topic == topic:
                self.skipped.update((position, id_) for id_ in produced.due)
                self.resets[position.partition].append(
                    Reset(position.next_offset, now(), set(), set())
                )

    def retention(self, partition: Partition, start: int) -> None:
        """Take in where a partition begins now: what wasn't settled below can't be read again."""
        for position, produced in self.produced.items():
            if position.partition == partition and position.offset < start:
                for id_ in produced.due:
                    if not self.is_settled(position, id_):
                        self.deleted.add((position, id_))

    def begins_anew(self, before: Subscription, starts: Sequence[Start], now: float) -> None:
        """Take in that a person has a subscription begin elsewhere, or more types come to it."""
        id_ = before.id
        if starts[0].kind is StartKind.TYPES:
            self.rewound[id_].append(Asked(now))
            for start in starts:
                if (start.partition, id_) not in self.database.tables.starts:
                    self.widened[start.partition, id_] = before
            return
        offsets = {start.partition: start.offset for start in starts}
        for partition, offset in offsets.items():
            self.starts[partition, id_] = min(offset, self.starts[partition, id_])
        for position, produced in self.produced.items():
            if id_ not in produced.due:
                continue
            pair = position, id_
            if position.offset >= offsets[position.partition]:
                self.again[pair] = now
                self.skipped.discard(pair)
            elif not self.is_settled(*pair):
                self.skipped.add(pair)
        self.rewound[id_].append(Asked(now, offsets))

    # What is asked.

    def is_settled(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether a due pair may be left out when the log is read again."""
        tables = self.database.tables
        pair = position, id_
        # What was acknowledged just before counts: its row may still have been on its way out.
        since = self.again.get(pair, 0.0) - WRITE_SECONDS
        if id_ not in tables.subscriptions or pair in self.skipped or pair in self.deleted:
            return True
        if any(heard.at >= since for heard in self.heard.get(pair, ())):
            return True
        if self.is_superseded(position, id_):
            return True
        return any(
            key in tables.retries or key in tables.dead for key in self.rows_of(position, id_)
        )

    def is_superseded(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether a newer position of its vehicle is due: that may be in its place."""
        return any(True for _ in self._newer(position, id_))

    def _is_passed(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether a newer position of its vehicle was acknowledged."""
        return any((newer, id_) in self.heard for newer in self._newer(position, id_))

    def _newer(self, position: Position, id_: SubscriptionId) -> Iterator[Position]:
        """Yield the positions of its vehicle that may be in its place."""
        produced = self.produced.get(position)
        if produced is None or produced.fix is None:
            return
        if id_ not in self.latest and not self._is_stale(produced.fix, id_):
            return
        for other in self.positions[position.partition, produced.record.key or b""]:
            newer = self.produced[other]
            fix = newer.fix or 0.0
            if (fix, other.offset) > (produced.fix, position.offset) and id_ in newer.due:
                yield other

    def _is_stale(self, fix: float, id_: SubscriptionId) -> bool:
        """Tell whether a position that was taken then is too old for a subscription by now."""
        limit = self.limits.get(id_)
        age = self.database.clock.time() - fix
        return limit is not None and (self.jumped or age > limit)

    def is_added(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether *position* is of a type that was added and that no owner has taken up yet.

        Until then it is in no order with the types of before.
        """
        start = self.database.tables.starts.get((position.partition, id_))
        was = self.widened.get((position.partition, id_))
        if start is None or was is None or start.kind is not StartKind.TYPES:
            return False
        produced = self.produced[position]
        is_new = not wants(was, produced.type or "", produced.project)
        return is_new and position.offset >= start.offset

    def is_covered(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether a lane that is stored reads *position* again for a subscription."""
        lane = self.database.tables.lanes.get((position.partition, id_))
        start = self.database.tables.starts.get((position.partition, id_))
        if start is not None and position.offset >= start.offset:
            was = self.widened.get((position.partition, id_))
            if start.kind is not StartKind.TYPES or was is None or self.is_added(position, id_):
                return True
        if lane is None or position.offset < lane.cursor:
            return False
        if lane.attach_at is not None and position.offset >= lane.attach_at:
            return False
        return position.offset not in decode(lane.settled, committed=lane.cursor).settled

    def _judge_reach(self, position: Position, id_: SubscriptionId, when: str) -> None:
        """Hold a due pair to being read again by whoever owns its partition next."""
        if self.is_settled(position, id_) or self.is_covered(position, id_):
            return
        commit = self.kafka.group.offsets.get(position.partition)
        lane = self.database.tables.lanes.get((position.partition, id_))
        fed = lane is None or (lane.attach_at is not None and position.offset >= lane.attach_at)
        if fed and commit is None:
            return
        if fed and commit is not None and position.offset >= commit.offset:
            settled = decode(commit.metadata, committed=commit.offset).settled
            if position.offset not in settled:
                return
        self.breaks(f"{position} → {id_} is out of reach after {when}")

    def unsafe(self, position: Position) -> str | None:
        """Say why the log must be read again from *position*; None if it needn't."""
        if position not in self.produced:
            return None
        produced = self.produced[position]
        passed_over = any(
            position.offset < reset.offset for reset in self.resets[position.partition]
        )
        if produced.quarantined and not passed_over and produced.token not in self.quarantined():
            return f"{position} is not in quarantine"
        for id_ in produced.due:
            if not self.is_settled(position, id_) and not self.is_covered(position, id_):
                return f"{position} → {id_} is open"
        return None

    def quarantined(self) -> set[str]:
        """Return the tokens of what is in quarantine."""
        return {
            dict(record.headers)["token"].decode()  # type: ignore[union-attr]
            for partition, log in self.kafka.logs.items()
            if partition.topic == "quarantine"
            for record in log.records
        }

    def unfinished(self) -> list[str]:
        """Say what is left to do, some of it."""
        left = []
        tables = self.database.tables
        for position, produced in self.produced.items():
            if why := self.unsafe(position):
                left.append(why)
            left += [
                f"{position} → {id_} is left to a lane"
                for id_ in produced.due
                if not self.is_settled(position, id_) and id_ not in self.hopeless
            ]
        left += [
            f"{position} → {id_} has a row"
            for position, id_, _ in tables.retries
            if id_ not in self.hopeless and tables.subscriptions[id_].status is Status.ACTIVE
        ]
        left += [
            f"{lane!r}"
            for (partition, id_), lane in tables.lanes.items()
            if id_ not in self.hopeless and lane.cursor < self.kafka.logs[partition].end
        ]
        left += [
            f"{id_} is to begin anew at {start.offset} of {partition}"
            for (partition, id_), start in tables.starts.items()
            if partition.topic.startswith("planner.")
            and id_ not in self.hopeless
            and tables.subscriptions[id_].status is Status.ACTIVE
        ]
        left += [f"{kept} is to be told" for kept in tables.operations]
        left += [
            f"{start} is to be taken over"
            for (partition, id_), start in tables.starts.items()
            if partition in tables.partitions and id_ not in self.hopeless
        ]
        for partition, log in self.kafka.logs.items():
            commit = self.kafka.group.offsets.get(partition)
            last = log.records[-1].position.next_offset if log.records else 0
            read = partition.topic.startswith("planner.")
            if read and last and (not commit or commit.offset < last):
                left.append(f"{partition} is committed to {commit and commit.offset} of {last}")
        return left

    def judge_end(self) -> None:
        """Hold the whole story to the promises that only its end can tell of."""
        tables = self.database.tables
        for (position, id_, event_id), row in tables.retries.items():
            if tables.subscriptions[id_].status is Status.ACTIVE and id_ not in self.hopeless:
                self.breaks(f"a row is left: {position} → {id_} {event_id} due {row.due_at}")
        for pair, moments in self.began.items():
            self._judge_repeats(pair, moments)
        for position, id_ in self.skipped | self.deleted:
            if not self._is_accounted(position, id_):
                self.breaks(f"{position} → {id_} was left out, and no gap says so")
        self._judge_told()

    def _judge_told(self) -> None:
        """Hold what was said of subscriptions to what was to be said."""
        said = defaultdict(set)
        for record in self.kafka.logs[Partition(OPS_TOPIC, 0)].records:
            said[orjson.loads(record.value or b"{}")["id"]].add(record.value)
        waiting = {kept.id for kept in self.database.tables.operations}
        for id_, kept in self.to_tell.items():
            if len(said[id_]) != 1 and not (id_ in waiting and not said[id_]):
                self.breaks(f"{kept} was told in {len(said[id_])} ways")

    def _is_accounted(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether it is said of a pair that was left out, or it ended otherwise."""
        tables = self.database.tables
        if id_ not in tables.subscriptions or self.heard.get((position, id_)):
            return True
        if (position, id_) in self.deleted and self.is_superseded(position, id_):
            return True  # it waited for its time when retention took it
        if (position, id_) in self.skipped and self._is_passed(position, id_):
            return True  # a newer one went in its place before the owner heard that it is left out
        keys = self.rows_of(position, id_)
        return any(key in tables.dead or key in tables.retries for key in keys) or any(
            gap.subscription_id in (id_, None)
            and gap.partition == position.partition
            and gap.from_offset <= position.offset < gap.to_offset
            and (gap.told or (gap.subscription_id is None and self._is_told(position, id_)))
            for gap in tables.gaps
        )

    def _is_told(self, position: Position, id_: SubscriptionId) -> bool:
        """Tell whether a subscription is told of a gap that has *position*, where the catalogue says that
        its type may be there."""
        type_ = self.produced[position].type
        if type_ is None or event_types()[type_].topic != position.partition.topic:
            return True
        return any(
            begin.partition == position.partition and begin.offset <= position.offset < end
            for (begin, of), end in self.gaps_told.items()
            if of == id_
        )

    def repeats(self) -> list[tuple[Pair, Heard, float]]:
        """Return each request that began after an acknowledgement was heard, with the last of those."""
        return [
            (pair, max(before, key=lambda heard: heard.at), moment)
            for pair, moments in self.began.items()
            for moment in moments
            if (before := [heard for heard in self.heard.get(pair, ()) if heard.at < moment])
        ]

    # Inside.

    def _judge(self, partition: Partition, commit: Commit) -> None:
        log = self.kafka.logs[partition]
        before = self._committed.get(partition, 0)
        self._committed[partition] = commit.offset
        if commit.offset < before:
            self.breaks(f"{partition} was committed to {before}, and now to {commit.offset}")
        if commit.offset > log.end:
            self.breaks(f"{partition} was committed to {commit.offset}, and ends at {log.end}")
        metadata = decode(commit.metadata, committed=commit.offset)
        if metadata.epoch is None:
            self.breaks(f"{partition} was committed with metadata {commit.metadata!r}")
        for record in log.records:
            offset = record.position.offset
            if offset < commit.offset or offset in metadata.settled:
                why = self.unsafe(record.position)
                if why:
                    self.breaks(f"{partition} was committed to {commit.offset}, but {why}")

    _committed: dict[Partition, int] = field(default_factory=dict)

    def _buried(self, change: Bury) -> None:
        delivery = change.delivery
        made = len(self.seen.get(delivery.pair, ())) + self.unreached.get(delivery.pair, 0)
        told = delivery.number if change.attempt else delivery.number - 1
        if told > made:
            self.breaks(f"{delivery!r} was given up after {told} attempts, {made} were made")
        if change.reason == SKIPPED:
            pairs = self.pairs_of(delivery)
            for pair in pairs:
                if self._is_wanted(pair, last=pairs[-1][0].offset):
                    self.breaks(f"{delivery!r} was given up with {pair[0]}, which is wanted")

    def _is_wanted(self, pair: Pair, *, last: int) -> bool:
        """Tell whether a person has its subscription go on at or below a pair of a row, and didn't give
        that up: by its key, or by a leap over *last*, its end, which may be under way to Postgres."""
        position, id_ = pair
        offsets = [
            (asked.at, asked.offsets[position.partition])
            for asked in self.rewound.get(id_, ())
            if asked.offsets is not None and position.partition in asked.offsets
        ]
        if not offsets or pair in self.released or position.offset < offsets[-1][1]:
            return False
        is_late = now() - offsets[-1][0] > WRITE_SECONDS
        return is_late or not any(last < offset for _, offset in offsets[:-1])

    hopeless: set[SubscriptionId] = field(default_factory=set)
    """Whose receivers never get well: with an open breaker their lanes use up no attempts."""
    unreached: Counter[Pair] = field(default_factory=Counter)
    """Requests that never arrived."""

    def _judge_repeats(self, pair: Pair, moments: list[float]) -> None:
        for moment in moments:
            for heard in self.heard.get(pair, ()):
                asked = self._was_asked(pair, heard, moment) or self._was_reset(pair, heard, moment)
                if heard.at < moment and not asked and not self._explained(heard, moment):
                    self.breaks(
                        f"{pair[0]} → {pair[1]} was acknowledged at {heard.at:.3f} to"
                        f" {heard.process}, and sent again at {moment:.3f}"
                    )

    def _was_asked(self, pair: Pair, heard: Heard, moment: float) -> bool:
        """Tell whether a person asked for it, or for more types shortly before.

        Whoever takes over a partition before those were read up doesn't know what was settled.
        """
        position, id_ = pair
        for asked in self.rewound.get(id_, ()):
            if asked.offsets is not None:
                is_above = position.offset >= asked.offsets.get(position.partition, 0)
                if is_above and heard.at <= asked.at + HEARD_OF_SECONDS and moment >= asked.at:
                    return True
            elif asked.at <= moment <= asked.at + HEARD_OF_SECONDS and any(
                trouble.begin <= moment and trouble.end >= asked.at for trouble in self.troubles
            ):
                return True
        return False

    def _was_reset(self, pair: Pair, heard: Heard, moment: float) -> bool:
        """Tell whether a person moved the group to below a pair in between, or it had a row then.

        What has a row is sent from that; and read again it is sent beside it where the row is a batch
        that begins below, or is gone when the partition changes hands before its lane has come to it.
        """
        return any(
            (reset.offset <= pair[0].offset or pair in reset.across)
            and reset.at <= moment
            and (heard.at <= reset.at or pair in reset.rows)
            for reset in self.resets[pair[0].partition]
        )

    def _explained(self, heard: Heard, moment: float) -> bool:
        return any(self._explains(trouble, heard, moment) for trouble in self.troubles)

    def _explains(self, trouble: Trouble, heard: Heard, moment: float) -> bool:
        if trouble.graceful is None:
            return trouble.begin <= moment and trouble.end >= heard.at
        # Still open when the time for answers was over.
        over = trouble.begin + trouble.graceful - 0.05
        return (
            trouble.process is heard.process and heard.began <= trouble.begin and heard.at >= over
        )


def derived(record: Record) -> str:
    """Return the id of an event that its producer gave none."""
    return derived_id(record)


def now() -> float:
    """Return virtual seconds."""
    return asyncio.get_running_loop().time()


def wants(subscription: Subscription, type_: str, project: str) -> bool:
    """Tell whether a subscription matches."""
    return subscription.project_id == project and any(
        pattern == type_
        or (
            type_ != POSITION
            and (pattern == "*" or (pattern.endswith(".*") and type_.startswith(pattern[:-1])))
        )
        for pattern in subscription.types
    )
