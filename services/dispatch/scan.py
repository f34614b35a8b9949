"""Readers feed the lanes: at most two per partition, a quarter of the loop, slices under 5 ms.

Each of two tasks has a reader outside the group, and at most one scan of each partition. What it reads
goes the way of the feed (`Flow.scan`): decode, match, render, outbox. No scan runs ahead of its
partition's feed, so a lane whose scan has reached the feed's position can be attached in one step.

Everything that scanners do counts against their share (`turns`): choosing, fetching, unpacking, filling
outboxes. The requests that follow don't: they wait in line with all others.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from services.deliver.outboxes import Outboxes
from services.dispatch.detach import Detaching
from services.dispatch.flow import Flow
from services.dispatch.gaps import Gaps
from services.dispatch.lane import Lane, Scan
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.subscriptions import Subscriptions
from services.dispatch.turns import Turns
from services.feed.settled_map import SettledMap
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, OutOfLogError, StoreGoneError
from services.kernel.event import Batch, Partition
from services.kernel.lane import LaneGapReason
from services.kernel.ports.broker import LogReader, Offsets
from services.kernel.subscription import Status
from services.lanes import scan as decisions
from services.lanes.budget import SLICE_SECONDS
from services.lanes.transitions import Input
from services.observe import metrics

log = structlog.get_logger()

READ_RECORDS = 500
"""As many as can be unpacked in a slice."""
READ_SECONDS = 0.1
IDLE_SECONDS = 0.05
LINGER_SECONDS = 1.0
"""How long a scan waits, with what it has read, for the lane that left it last."""
LINGER_LOOK_SECONDS = 0.01
"""How often it looks meanwhile: a fast receiver takes half of what a lane holds in 20 ms."""
LOOK_RECORDS = 20
"""How many records are taken between two looks at the clock."""
RETRY_SECONDS = 1.0
ATTACH_SECONDS = 1.0
"""How often to check whether caught-up lanes can be attached; a new one is checked at once."""
DOWN_SECONDS, DOWN_MOST_SECONDS = 0.2, 60.0
"""A lane whose receiver is down, while enough waits for probes, rests until so long after the next probe:
by then it is known how that ended. At most for so long."""
PROBED_MOST_SECONDS = 2.0
"""A probe that isn't answered by then is asked after as seldom as it has taken so far, or this often."""
LOOKS_A_SECOND = 2
"""Who rests for a probe is looked at together with others: thousands may, each on all partitions."""
STOPPED_SECONDS = 5.0
"""How long it rests whose subscription is paused; `Detaching.resume` ends that."""


class Scanners:
    """Reads the log for all lanes of this worker."""

    def __init__(
        self,
        *,
        make_reader: Callable[[], LogReader],
        offsets: Offsets,
        partitions: OwnedPartitions,
        subscriptions: Subscriptions,
        outboxes: Outboxes,
        flow: Flow,
        detaching: Detaching,
        gaps: Gaps,
        clock: Clock,
    ) -> None:
        self._make_reader = make_reader
        self._offsets = offsets
        self._partitions = partitions
        self._subscriptions = subscriptions
        self._outboxes = outboxes
        self._flow = flow
        self._detaching = detaching
        self._gaps = gaps
        self._clock = clock
        self._turns = Turns(partitions=partitions, clock=clock)

    async def run(self) -> None:
        """Read until cancelled."""
        async with asyncio.TaskGroup() as group:
            for slot in range(decisions.MAX_SCANS):
                group.create_task(self._run_slot(slot))

    async def _run_slot(self, slot: int) -> None:
        reader = self._make_reader()
        try:
            while True:
                try:
                    try:
                        await self._round(slot, reader)
                    except OutOfLogError:
                        await self._move_into_the_log(slot)
                except (BrokerGoneError, StoreGoneError) as error:  # of the move as well
                    log.warning("scan_waits", error=str(error))
                    await self._clock.sleep(RETRY_SECONDS)
        finally:
            await reader.stop()

    async def _round(self, slot: int, reader: LogReader) -> None:
        """Read once for all scans of a slot."""
        asked = await self._asked(slot)
        if not asked:
            idle = LINGER_LOOK_SECONDS if self._lingers(slot) else IDLE_SECONDS
            await self._clock.sleep(idle)
            return
        in_hand = {part: scan.rest for part, (_, scan) in asked.items() if scan.rest is not None}
        positions = {
            part: scan.position for part, (_, scan) in asked.items() if part not in in_hand
        }
        wait = timedelta(seconds=0 if in_hand else READ_SECONDS)
        batches = await self._turns.read(reader.read(positions, limit=READ_RECORDS, wait=wait))
        await self._feed(asked, {**in_hand, **batches})

    async def _asked(self, slot: int) -> dict[Partition, tuple[Owned, Scan]]:
        """Return what is to be read now."""
        asked: dict[Partition, tuple[Owned, Scan]] = {}
        began = self._clock.monotonic()
        for owned in self._partitions.loaded():
            if not self._partitions.is_held(owned):
                continue  # it was let go of while others had their share of the loop
            scan = self._scan_of(owned, slot)
            if scan is not None and scan.members and scan.position < owned.tracker.read_pos:
                asked[owned.partition] = owned, scan
            took = self._clock.monotonic() - began
            if took >= SLICE_SECONDS:
                await self._turns.give_way(took)
                began = self._clock.monotonic()
        return asked

    def _lingers(self, slot: int) -> bool:
        return any(
            scan.slot == slot and not scan.members
            for owned in self._partitions.loaded()
            for scan in owned.scans
        )

    async def _feed(
        self, asked: Mapping[Partition, tuple[Owned, Scan]], batches: Mapping[Partition, Batch]
    ) -> None:
        for partition, batch in batches.items():
            owned, scan = asked[partition]
            if self._goes_on(owned, scan):
                await self._take(owned, scan, batch)

    def _goes_on(self, owned: Owned, scan: Scan) -> bool:
        return self._partitions.is_held(owned) and owned.active and scan in owned.scans

    def _scan_of(self, owned: Owned, slot: int) -> Scan | None:
        """Return the scan of *slot*, after caught-up lanes have left it and ready ones joined."""
        # A commit that the group took shows that nobody else had the partition since our epoch began:
        # what one who doesn't know that it was replaced attaches, the owner counts as covered.
        if not owned.active or not owned.lanes or owned.committed is None:
            self._end_all(owned)
            return None
        if slot and not owned.scans:
            return None  # the first sees to all of it, until somebody waits whom it doesn't reach
        if not owned.scans and not owned.lanes.has_free(self._clock.monotonic()):
            return None
        ready = self._ready(owned)
        waiting = [_waiting(lane) for lane in ready]
        running = self._running(owned)
        for scan, seen in zip(list(owned.scans), list(running), strict=True):
            if scan.slot != slot:
                continue
            if decisions.joins(seen, running) or decisions.is_over(seen, running, waiting):
                now = self._clock.monotonic()
                ready += [lane for lane in scan.members.values() if self._is_ready(lane, now)]
                scan.end()  # whoever is in it joins the other one, or the next
                owned.scans.remove(scan)
        found = next((scan for scan in owned.scans if scan.slot == slot), None)
        running = self._running(owned)
        waiting = [_waiting(lane) for lane in ready]
        if found is None and decisions.may_start(running, waiting):
            missed = [lane for lane in waiting if decisions.is_missed(lane.position, running)]
            start = decisions.start_of(missed)
            assert start is not None  # noqa: S101 - somebody is missed
            owned.turn += 1
            found = Scan(position=start, turn=owned.turn, slot=slot)
            owned.scans.append(found)
        if found is not None:
            self._let_on(found, ready, until=found.position + found.in_hand)
            self._attach_reached(owned, found)
        return found

    def _end_all(self, owned: Owned) -> None:
        for scan in owned.scans:
            scan.end()
        owned.scans.clear()

    def _running(self, owned: Owned) -> list[decisions.Running]:
        now = self._clock.monotonic()
        return [_running(scan, now) for scan in owned.scans]

    def _ready(self, owned: Owned) -> list[Lane]:
        """Return who may join a scan."""
        now = self._clock.monotonic()
        free = owned.lanes.free(now)
        return [lane for lane in free if self._is_ready(lane, now) and lane.has_room]

    def _is_ready(self, lane: Lane, now: float) -> bool:
        if not lane.is_ready or lane.rests_until > now or self._is_down(lane, now):
            return False
        subscription = self._subscriptions.get(lane.subscription_id)
        if subscription is None:  # not loaded yet
            return False
        if subscription.status is not Status.ACTIVE:
            lane.rest(now + STOPPED_SECONDS)
            return False
        lane.bound(subscription, probing=self._outboxes.is_probing(subscription.id))
        return True

    def _is_down(self, lane: Lane, now: float) -> bool:
        """Tell whether no more of *lane* can be sent now; if so, let it rest until the next probe."""
        until = self._outboxes.rests_until(lane.subscription_id)
        if not until:
            return False
        takes = min(max(now - until, DOWN_SECONDS), PROBED_MOST_SECONDS)
        until = min(max(until, now) + takes, now + DOWN_MOST_SECONDS)
        lane.rest(max(lane.rests_until, math.ceil(until * LOOKS_A_SECOND) / LOOKS_A_SECOND))
        return True

    def _let_on(self, scan: Scan, ready: list[Lane], *, until: int) -> None:
        """Let lanes join whose position is in [position, until]."""
        for lane in ready:
            if scan.position <= lane.position <= until:
                lane.scan, lane.served = scan, scan.turn
                scan.members[lane.subscription_id] = lane
                scan.attach_at = 0.0
                lane.happens(Input.READ)

    def _attach_reached(self, owned: Owned, scan: Scan) -> None:
        now = self._clock.monotonic()
        if scan.position >= owned.tracker.read_pos and now >= scan.attach_at:
            scan.attach_at = now + ATTACH_SECONDS
            for lane in list(scan.members.values()):
                lane.pass_to(scan.position)
                if self._is_down(lane, now):
                    lane.leave()
                else:
                    self._detaching.reached(owned, lane)

    async def _take(self, owned: Owned, scan: Scan, batch: Batch) -> None:
        """Take a batch to the lanes, up to the feed's position, or to where the last lane leaves."""
        end = min(batch.next_offset, owned.tracker.read_pos)
        self._let_on(scan, self._ready(owned), until=end)
        scan.rest = None
        began = await self._hand_out(owned, scan, batch, end)
        if began is None:
            return
        for lane in list(scan.members.values()):
            lane.pass_to(scan.position)
            if not lane.is_ready:
                lane.leave()  # it ends here
        self._attach_reached(owned, scan)
        await self._turns.give_way(self._clock.monotonic() - began)

    async def _hand_out(self, owned: Owned, scan: Scan, batch: Batch, end: int) -> float | None:
        """Take records below *end* to the lanes, in slices; return when the last of these began.

        None: the scan doesn't go on.
        """
        began, taken = self._clock.monotonic(), 0
        for record in batch.records:
            offset = record.position.offset
            if offset >= end:
                break
            if (taken + 1) % LOOK_RECORDS == 0 and self._clock.monotonic() - began >= SLICE_SECONDS:
                await self._turns.give_way(self._clock.monotonic() - began)
                if not self._goes_on(owned, scan):
                    return None
                began = self._clock.monotonic()
            while not self._flow.scan(owned, scan, record):
                await self._subscriptions.prepare()
                if not self._goes_on(owned, scan):
                    return None
            if not scan.members:
                scan.set_aside(batch.after(taken), self._clock.monotonic())
                break
            taken += 1
            scan.position, scan.seen_ms = offset + 1, record.timestamp_ms
        if scan.rest is None:
            scan.position = max(scan.position, end)
        scan.read += taken
        metrics.RECORDS_SCANNED.inc(taken)
        return began

    async def _move_into_the_log(self, slot: int) -> None:
        """Retention has passed some cursors: record and report what was lost, then move them."""
        for owned in self._partitions.loaded():
            if not any(scan.slot == slot for scan in owned.scans):
                continue
            bounds = (await self._offsets.bounds([owned.partition]))[owned.partition]
            # Asked for again: the other slot may have ended all scans of what was let go of meanwhile.
            for scan in [scan for scan in owned.scans if scan.slot == slot]:
                scan.end()
                owned.scans.remove(scan)
            for lane in list(owned.lanes.values()):
                if lane.position < bounds.start and self._partitions.is_held(owned):
                    await self._lose(owned, lane, bounds.start)

    async def _lose(self, owned: Owned, lane: Lane, start: int) -> None:
        generation = lane.generation
        # From its cursor on: what waits in memory below `position` can't be read a second time.
        cursor = lane.tracker.lowest
        await self._gaps.keep(owned, lane, since=cursor, to=start, reason=LaneGapReason.RETENTION)
        if lane.generation == generation and lane.position < start:
            known = lane.tracker.known
            kept = frozenset(offset for offset in known.open if offset >= start)
            end = max(known.end, start)
            ends_at = lane.attach_at
            lane.start_over(SettledMap(start - 1, end, kept), lane.flying)
            lane.attach_at = ends_at if ends_at is None else max(ends_at, start)


def _waiting(lane: Lane) -> decisions.Waiting:
    """Return *lane* with its priority: near the edge of the log it is read before all others."""
    return decisions.Waiting(lane.position, 0 if lane.edge else lane.served)


def _running(scan: Scan, now: float) -> decisions.Running:
    return decisions.Running(
        position=scan.position,
        turn=scan.turn,
        read=scan.read,
        members=len(scan.members),
        in_hand=scan.in_hand,
        lingers=scan.rest is not None and now - scan.left_at < LINGER_SECONDS,
    )
