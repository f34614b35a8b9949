"""Where a subscription is: how far behind, why, for how long still, and how near to the log's edge.

A subscription that is fed live stands where the group does on a partition: what is settled there is
settled for it. One that isn't has a lane, which stands at its cursor. What counts is records of the
log from there to its end, whoever they are for: how many of them match is known when they are read.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.control.access import Caller
from services.control.readers import Readers
from services.control.subscriptions import Subscriptions
from services.kernel.backlog import InShort, Waiting
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, OutOfLogError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneRow
from services.kernel.ports.broker import Bounds, Offsets
from services.kernel.ports.control import BacklogStore
from services.kernel.registration import Registration
from services.kernel.subscription import Status
from services.kernel.value import value

ATTACHED, DETACHED = "attached", "detached"
RANKS = (ATTACHED, "draining", "catching_up", DETACHED)
"""From well to worst: a subscription is as its worst partition is."""
STILL_SECONDS = 10.0
"""A lane that nobody wrote of for so long doesn't move."""
ARRIVAL_SECONDS = 60.0
"""Over so long it is measured how fast a partition grows."""
HEADS_SECONDS = 2.0
"""For reading the first record of each part that waits."""
MOST_RETRIES = 10_000
"""Of one subscription are counted for a list."""
WAIT = timedelta(milliseconds=500)


class Part(NamedTuple):
    """One partition."""

    partition: Partition
    cursor: int
    end: int
    state: str
    lane: LaneRow | None = None
    moving: bool = False
    """Whether its lane was written of lately."""

    @property
    def lag(self) -> int:
        """Records from the cursor to the end."""
        return max(0, self.end - self.cursor)


@value
class Backlog:
    """All of it."""

    state: str
    reason: str | None
    since: datetime | None
    oldest_at: datetime | None
    """When the oldest event that is not delivered was written; None: nothing waits."""
    eta_seconds: float | None
    """Until it has caught up, at its pace of late; None: it doesn't gain on the log."""
    headroom_seconds: float | None
    """Until retention takes the first record that waits; None: the log keeps it."""
    parts: Sequence[Part]
    retries: int
    held_keys: Sequence[str]

    @property
    def lag(self) -> int:
        """Records from the cursors to the ends."""
        return sum(part.lag for part in self.parts)


class Short(NamedTuple):
    """A backlog in short, as a list shows it."""

    lag: int | None
    """Records from the cursors to the ends; None: Kafka is away."""
    retries: int
    """Up to MOST_RETRIES."""
    oldest_at: datetime | None


class Backlogs:
    """Puts together what Postgres and Kafka know."""

    def __init__(
        self,
        *,
        store: BacklogStore,
        offsets: Offsets,
        topics: Sequence[str],
        readers: Readers,
        subscriptions: Subscriptions,
        clock: Clock,
    ) -> None:
        self._store = store
        self._offsets = offsets
        self._topics = topics
        self._readers = readers
        self._subscriptions = subscriptions
        self._clock = clock

    async def get(self, caller: Caller, id_: str) -> Backlog:
        """Return where it is. Raises NotFoundError, BrokerGoneError, StoreGoneError."""
        registration = await self._subscriptions.get(caller, id_)
        now = self._clock.now()
        partitions = await self._offsets.partitions(self._topics)
        committed = await self._offsets.committed(partitions)
        waiting = await self._store.waiting(registration.id)
        # Asked for last: what was produced meanwhile must not lie behind an end.
        bounds = await self._offsets.bounds(partitions)
        at = {p: commit.offset for p, commit in committed.items() if commit is not None}
        parts = parts_of(waiting, committed=at, bounds=bounds, now=now)
        heads = {part.partition: part.lane.cursor_at for part in parts if part.lag and part.lane}
        left = {
            part.partition: max(part.cursor, bounds[part.partition].start)
            for part in parts
            if part.lag
        }
        heads |= await written_at(self._readers, left)
        known = [*heads.values()]
        if waiting.oldest_ms is not None:
            known.append(datetime.fromtimestamp(waiting.oldest_ms / 1000, tz=UTC))
        state, reason, since = standing(registration, parts)
        return Backlog(
            state=state,
            reason=reason,
            since=since,
            oldest_at=min(known, default=None),
            eta_seconds=await self._eta(registration, parts, now),
            headroom_seconds=headroom(heads, await self._offsets.retention(self._topics), now),
            parts=parts,
            retries=waiting.retries,
            held_keys=waiting.held_keys,
        )

    async def in_short(
        self, registrations: Sequence[Registration]
    ) -> Mapping[SubscriptionId, Short]:
        """Return what waits for each: two statements and one question to Kafka, for a whole list.

        Who is fed live is seconds behind at most, and counts as there. While Kafka is away the
        records that wait are not known; the deliveries are.
        """
        found = await self._store.in_short([each.id for each in registrations], most=MOST_RETRIES)
        try:
            partitions = await self._offsets.partitions(self._topics)
            bounds = await self._offsets.bounds(partitions)
        except BrokerGoneError:
            return {id_: short_of(seen, None) for id_, seen in found.items()}
        ends = {partition: held.end for partition, held in bounds.items()}
        return {id_: short_of(seen, ends) for id_, seen in found.items()}

    async def _eta(
        self, registration: Registration, parts: Sequence[Part], now: datetime
    ) -> float | None:
        if not any(part.lag for part in parts):
            return 0.0
        if registration.status is not Status.ACTIVE:
            return None
        behind = [part.partition for part in parts if part.lag and part.lane]
        since = int((now.timestamp() - ARRIVAL_SECONDS) * 1000)
        before = await self._offsets.at(behind, since) if behind else {}
        return eta(parts, before)


def short_of(seen: InShort, ends: Mapping[Partition, int] | None) -> Short:
    """Return the backlog in short, *ends* being where each partition ends."""
    known = (
        [] if seen.oldest_ms is None else [datetime.fromtimestamp(seen.oldest_ms / 1000, tz=UTC)]
    )
    if ends is None:
        return Short(None, seen.retries, min(known, default=None))
    lags = [max(0, ends.get(lane.partition, 0) - lane.cursor) for lane in seen.lanes]
    known += [lane.cursor_at for lane, lag in zip(seen.lanes, lags, strict=True) if lag]
    return Short(sum(lags), seen.retries, min(known, default=None))


async def written_at(
    readers: Readers, offsets: Mapping[Partition, int]
) -> Mapping[Partition, datetime]:
    """Return when the first record from each offset on was written; of what is read in time."""
    found, left = {}, dict(offsets)
    try:
        async with asyncio.timeout(HEADS_SECONDS), readers.one() as reader:
            while left:
                batches = await reader.read(left, limit=len(left), wait=WAIT)
                for partition, batch in batches.items():
                    if batch.records:
                        written = batch.records[0].timestamp_ms
                        found[partition] = datetime.fromtimestamp(written / 1000, tz=UTC)
                    del left[partition]
    except (TimeoutError, OutOfLogError):
        pass  # what the lanes say of themselves is near enough
    return found


def parts_of(
    waiting: Waiting,
    *,
    committed: Mapping[Partition, int],
    bounds: Mapping[Partition, Bounds],
    now: datetime,
) -> list[Part]:
    """Return where a subscription is on each partition."""
    lanes = {seen.row.partition: seen for seen in waiting.lanes}
    starts = {start.partition: start.offset for start in waiting.starts}
    parts = []
    for partition, (start, end) in bounds.items():
        seen = lanes.get(partition)
        if seen is not None:
            state = DETACHED if seen.row.state == "detaching" else seen.row.state
            if seen.row.reason.is_usual:
                state = ATTACHED  # it is fed by a lane always
            moving = (now - seen.updated_at).total_seconds() < STILL_SECONDS
            parts.append(Part(partition, seen.row.cursor, end, state, seen.row, moving))
        elif partition in starts:
            parts.append(Part(partition, starts[partition], end, DETACHED))
        else:
            parts.append(Part(partition, committed.get(partition, start), end, ATTACHED))
    return parts


def standing(
    registration: Registration, parts: Sequence[Part]
) -> tuple[str, str | None, datetime | None]:
    """Return the state, why, and since when."""
    if registration.status is not Status.ACTIVE:
        reason = registration.status_reason or registration.status.value
        return registration.status.value, reason, registration.status_at
    state = max((part.state for part in parts), key=RANKS.index, default=ATTACHED)
    lanes = [part.lane for part in parts if part.lane is not None and part.state == state]
    if state == ATTACHED:
        return state, None, None
    if not lanes:
        return state, "new", registration.created_at
    longest = min(lanes, key=lambda lane: lane.since)
    return state, longest.reason.value, longest.since


def eta(parts: Sequence[Part], before: Mapping[Partition, int]) -> float | None:
    """Return the seconds until the last lane has caught up; None where one never will.

    *before* is where each partition ended ARRIVAL_SECONDS ago. What is fed live is seconds behind at
    most, and counts as there.
    """
    longest = 0.0
    for part in parts:
        if part.state == ATTACHED or not part.lag:
            continue
        arriving = (part.end - before.get(part.partition, part.end)) / ARRIVAL_SECONDS
        speed = part.lane.speed if part.lane is not None and part.moving else 0.0
        if speed <= arriving:
            return None
        longest = max(longest, part.lag / (speed - arriving))
    return round(longest, 1)


def headroom(
    heads: Mapping[Partition, datetime],
    retention: Mapping[str, timedelta | None],
    now: datetime,
) -> float | None:
    """Return the seconds until retention takes the first of what waits."""
    left = [
        (written + kept - now).total_seconds()
        for partition, written in heads.items()
        if (kept := retention.get(partition.topic)) is not None
    ]
    kept_all = [kept.total_seconds() for kept in retention.values() if kept is not None]
    found = min(left or kept_all, default=None)
    return None if found is None else round(max(0.0, found), 1)
