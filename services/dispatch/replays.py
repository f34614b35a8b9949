"""Replays on the partitions that are ours: read by pointer, sent beside live traffic.

    rows ──refresh──▶ sides ──read──▶ wanted events ──pace──▶ outbox
                        ▲                                       │
         cursor, every second ◀── settled ◀── flow, parking ◀───┘

A side is one replay on one owned partition, with a tracker of its own: its cursor is the lowest event
that isn't settled. It offers a few events at a time, so that live events never queue behind it. For an
ordered subscription it offers one, and the next once that one is settled.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from services.deliver.batch import alone
from services.deliver.outboxes import Outboxes
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.subscriptions import Subscriptions
from services.feed.decode import Decoder
from services.feed.tracker import Tracker
from services.kernel.about import about
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.condition import BreakerState
from services.kernel.delivery import Delivery, Settlement, Trigger
from services.kernel.errors import BrokerGoneError, OutOfLogError, StoreGoneError
from services.kernel.event import Batch, Event, Partition, Poison
from services.kernel.ports.broker import LogReader, Offsets
from services.kernel.ports.store.replays import Advance, ReplayStore
from services.kernel.replay import Range, Replay
from services.kernel.subscription import Mode, Ordered, Status, Subscription
from services.match.index import Match
from services.match.order_key import order_of
from services.match.types import asked_name
from services.render import Renderings
from services.replay.pace import Pace

log = structlog.get_logger()

REFRESH_SECONDS = 0.5
KEEP_SECONDS = 1.0
TICK_SECONDS = 0.01
IDLE_SECONDS = 0.25
READ_WAIT = timedelta(milliseconds=100)
READ_RECORDS = 200
AHEAD = 500
"""How many wanted events a side may have read and not offered yet."""
WINDOW = 32
"""How many events of a side may be in line or in flight."""
MOST_SECONDS = 0.05
REST = 3
"""Reading takes at most a quarter of the loop's time: it rests three times as long as it took."""


class Found(NamedTuple):
    """A wanted event that waits for its time."""

    event: Event
    match: Match


class Again(NamedTuple):
    """A failed event that waits to be tried again."""

    delivery: Delivery
    due_at: datetime


class Side:
    """One replay on one owned partition."""

    def __init__(self, replay: Replay, range_: Range, owned: Owned) -> None:
        self.replay = replay
        self.range = range_
        self.owned = owned
        self.tracker = Tracker(start=range_.cursor)
        self.pace = Pace(rate=None, speed=replay.speed)
        self.found: deque[Found] = deque()
        self.offered: set[int] = set()
        self.again: deque[Again] = deque()
        self.sent = range_.sent
        self.dead = range_.dead
        self.waiting = False

    @property
    def wants_more(self) -> bool:
        """Whether more of the log is to be read."""
        return self.tracker.read_pos < self.range.end and len(self.found) < AHEAD

    def advance(self) -> Advance:
        """Return how far it is."""
        return Advance(
            replay_id=self.replay.id,
            partition=self.owned.partition,
            epoch=self.owned.epoch,
            cursor=min(self.tracker.lowest, self.range.end),
            sent=self.sent,
            dead=self.dead,
            waiting=self.waiting,
        )


class Replays:
    """All sides of a worker."""

    def __init__(
        self,
        *,
        store: ReplayStore,
        make_reader: Callable[[], LogReader],
        offsets: Offsets,
        decoder: Decoder,
        partitions: OwnedPartitions,
        subscriptions: Subscriptions,
        outboxes: Outboxes,
        clock: Clock,
        max_body_bytes: int,
    ) -> None:
        self._store = store
        self._make_reader = make_reader
        self._offsets = offsets
        self._decode = decoder.decode
        self._partitions = partitions
        self._subscriptions = subscriptions
        self._outboxes = outboxes
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._sides: dict[tuple[str, Partition], Side] = {}
        self._kept: dict[tuple[str, Partition], Advance] = {}

    # What flow and parking tell. Nothing here awaits.

    def answered(self, delivery: Delivery, *, acknowledged: bool) -> None:
        """Note that a request has ended: the next event may be offered."""
        side = self._side_of(delivery)
        if side is not None:
            side.offered.discard(delivery.position.offset)
            side.sent += acknowledged

    def settled(self, delivery: Delivery, how: Settlement) -> None:
        """Note how an event ended; becoming a retry row is an end too, as far as the replay goes."""
        side = self._side_of(delivery)
        if side is not None:
            side.offered.discard(delivery.position.offset)
            if side.tracker.settle(delivery.position.offset, delivery.subscription_id):
                side.dead += how is Settlement.DEAD

    def again(self, delivery: Delivery, attempt: Attempt, due_at: datetime) -> None:
        """Keep a failed event in memory that may not become a row.

        Either there is no budget left, or the subscription is ordered, and a row would hold up the live
        events of its key. The cursor stays below it, so a restart reads it again.
        """
        side = self._side_of(delivery)
        if side is not None:
            number, reason = delivery.number + 1, attempt.outcome.value
            next_ = replace(delivery, number=number, retry_reason=reason)
            side.again.append(Again(next_, due_at))

    def back(self, delivery: Delivery) -> None:
        """Take back an event in line: its subscription was paused, or is served by a lane now."""
        side = self._side_of(delivery)
        if side is not None:
            side.offered.discard(delivery.position.offset)
            side.again.append(Again(delivery, self._clock.now()))

    def _side_of(self, delivery: Delivery) -> Side | None:
        if delivery.replay is None or not self._sides:
            return None
        side = self._sides.get((delivery.replay, delivery.position.partition))
        return side if side is not None and side.owned.epoch == delivery.epoch else None

    # What time brings.

    async def refresh(self) -> None:
        """Look for replays that were requested, cancelled, or moved with a partition, until cancelled."""
        while True:
            await self._clock.sleep(REFRESH_SECONDS)
            owned = {o.partition: o for o in self._partitions.active()}
            try:
                active = await self._store.active(list(owned)) if owned else ()
                self._take(active, owned)
                for replay in active:
                    if self._subscriptions.get(replay.subscription_id) is None:
                        await self._fail(replay.id, "the subscription was deleted")
            except StoreGoneError as error:
                log.warning("replays_wait", error=str(error))

    def _take(self, active: Sequence[Replay], owned: dict[Partition, Owned]) -> None:
        wanted = {}
        for replay in active:
            for range_ in replay.ranges:
                mine = owned.get(range_.partition)
                if mine is not None and mine.active and range_.cursor < range_.end:
                    wanted[replay.id, range_.partition] = (replay, range_, mine)
        for key, side in list(self._sides.items()):
            if key not in wanted or wanted[key][2] is not side.owned:
                del self._sides[key]
                self._kept.pop(key, None)
        for key, (replay, range_, mine) in wanted.items():
            if key not in self._sides:
                self._sides[key] = Side(replay, range_, mine)
                log.info("replay_begins", replay=replay.id, partition=str(range_.partition))
            self._sides[key].pace.set_rate(_share(replay))

    async def _fail(self, id_: str, error: str) -> None:
        failed = await self._store.fail(id_, error=error, at=self._clock.now())
        if failed is not None:
            _note_end(failed)

    async def keep_on(self) -> None:
        """Write how far everything is, once a second, until cancelled."""
        while True:
            await self._clock.sleep(KEEP_SECONDS)
            try:
                await self.keep()
            except StoreGoneError as error:
                log.warning("replays_wait", error=str(error))

    async def keep(self) -> None:
        """Write the cursors that have moved. Raises StoreGoneError."""
        news = {
            key: advance
            for key, side in self._sides.items()
            if (advance := side.advance()) != self._kept.get(key)
        }
        if not news:
            return
        now = self._clock.now()
        done = await self._store.advance(list(news.values()), at=now)
        self._kept.update({key: advance for key, advance in news.items() if key in self._sides})
        for replay in done:
            _note_end(replay)

    async def run(self) -> None:
        """Read and offer, until cancelled."""
        reader = self._make_reader()
        try:
            while True:
                began = self._clock.monotonic()
                read = await self._read(reader)
                for side in list(self._sides.values()):
                    self._offer(side)
                spent = self._clock.monotonic() - began if read else 0.0
                idle = TICK_SECONDS if self._sides else IDLE_SECONDS
                await self._clock.sleep(max(min(spent, MOST_SECONDS) * REST, idle))
        finally:
            await reader.stop()

    async def _read(self, reader: LogReader) -> bool:
        """Read on for the sides that want more, each partition once."""
        asked: dict[Partition, Side] = {}
        for key in list(self._sides):
            side = self._sides[key]
            if side.wants_more and side.owned.active and side.owned.partition not in asked:
                asked[side.owned.partition] = side
                self._sides[key] = self._sides.pop(key)  # the next time it is the others' turn
        if not asked:
            return False
        positions = {partition: side.tracker.read_pos for partition, side in asked.items()}
        try:
            batches = await reader.read(positions, limit=READ_RECORDS, wait=READ_WAIT)
        except BrokerGoneError as error:
            log.warning("replays_wait", error=str(error))
            await self._clock.sleep(IDLE_SECONDS)
            return False
        except OutOfLogError:
            await self._give_up(asked)
            return False
        for partition, batch in batches.items():
            self._sift(asked[partition], batch)
        return bool(batches)

    async def _give_up(self, asked: dict[Partition, Side]) -> None:
        """End the replays whose range retention, or a recreated topic, has taken."""
        try:
            bounds = await self._offsets.bounds(list(asked))
            for partition, side in asked.items():
                if not bounds[partition].start <= side.tracker.read_pos <= bounds[partition].end:
                    error = f"{partition} no longer holds offset {side.tracker.read_pos}"
                    self._sides.pop((side.replay.id, partition), None)
                    await self._fail(side.replay.id, f"{error}: ask anew, from a later time")
        except (BrokerGoneError, StoreGoneError) as error:
            log.warning("replays_wait", error=str(error))

    def _sift(self, side: Side, batch: Batch) -> None:
        """Take in what was read; events that aren't wanted are settled at once."""
        end = side.range.end
        records = [record for record in batch.records if record.position.offset < end]
        side.tracker.register(
            (record.position.offset for record in records),
            next_offset=max(min(batch.next_offset, end), side.tracker.read_pos),
        )
        for record in records:
            event = self._decode(record)
            if event is not None and not isinstance(event, Poison):
                match = self._wanted(side, event)
                if match is not None:
                    side.tracker.open(record.position.offset, side.replay.subscription_id)
                    side.found.append(Found(event, match))
            side.tracker.matched(record.position.offset)

    def _wanted(self, side: Side, event: Event) -> Match | None:
        replay = side.replay
        if event.project_id != replay.project_id or not replay.wanted.takes(event):
            return None
        match = self._subscriptions.wants(replay.subscription_id, event)
        types = replay.wanted.types
        if match is None or types is None:
            return match
        profile = match.subscription.profile
        return match if asked_name(types, event.type, profile) is not None else None

    def _offer(self, side: Side) -> None:
        """Put in line what may go now."""
        subscription = self._subscriptions.get(side.replay.subscription_id)
        room = self._room(side, subscription)
        now = self._clock.monotonic()
        while side.again and room > 0 and subscription is not None:
            delivery, due_at = side.again[0]
            if due_at > self._clock.now():
                break
            side.again.popleft()
            side.offered.add(delivery.position.offset)
            self._outboxes.deliver(delivery, subscription)
            room -= 1
        if side.again and (len(side.again) >= WINDOW or _is_ordered(subscription)):
            return
        while room > 0 and side.found and subscription is not None:
            event, match = side.found[0]
            if side.pace.wait(event.timestamp_ms, now) > 0:
                return
            side.found.popleft()
            side.pace.sent(now)
            side.offered.add(event.position.offset)
            self._outboxes.deliver(self._delivery(side, event, match), subscription)
            room -= 1

    def _room(self, side: Side, subscription: Subscription | None) -> int:
        """Return how many events may be put in line; note whether the receiver keeps it waiting."""
        side.waiting = False
        if not side.owned.active or subscription is None:
            return 0
        window = WINDOW
        if _is_ordered(subscription):
            window = 1
            if not side.again and side.tracker.open_count > len(side.found):
                return 0  # the one before is not settled yet
        condition = self._outboxes.condition(subscription.id)
        broken = condition is not None and condition.breaker is BreakerState.OPEN
        side.waiting = subscription.status is not Status.ACTIVE or broken
        if side.waiting:
            side.pace.missed()
        if subscription.status is not Status.ACTIVE:
            return 0
        return min(window - len(side.offered), self._outboxes.rows_wanted(subscription.id))

    def _delivery(self, side: Side, event: Event, match: Match) -> Delivery:
        subscription = match.subscription
        body, content_type = Renderings(event, max_bytes=self._max_body_bytes).get(
            profile=subscription.profile, asked=match.asked, expand=subscription.expand
        )
        delivery = Delivery(
            position=event.position,
            epoch=side.owned.epoch,
            subscription_id=subscription.id,
            event_id=event.id,
            type=match.asked,
            body=body,
            content_type=content_type,
            key=event.key,
            project_id=event.project_id,
            timestamp_ms=event.timestamp_ms,
            trigger=Trigger.REPLAY,
            replay=side.replay.id,
            traceparent=event.traceparent,
            about=about(event),
            order=order_of(event, subscription),
        )
        batch = subscription.delivery.mode is Mode.BATCH
        return alone(delivery, subscription.profile) if batch else delivery


def _note_end(replay: Replay) -> None:
    log.info("replay_ended", replay=replay.id, state=replay.state.value, sent=replay.sent)


def _is_ordered(subscription: Subscription | None) -> bool:
    return subscription is not None and subscription.ordered is not Ordered.NONE


def _share(replay: Replay) -> float | None:
    """Return one partition's part of the rate: finished partitions leave theirs to the others."""
    left = sum(range_.cursor < range_.end for range_ in replay.ranges)
    return None if replay.rate is None else replay.rate / max(1, left)
