"""The one task that polls. It passes what it gets to the flow in slices, and keeps within the window."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from services.dispatch.commit import Membership
from services.dispatch.flow import Flow
from services.dispatch.limits import Limits
from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.clock import Clock
from services.kernel.errors import MembershipLostError
from services.kernel.event import Batch, Partition, Record
from services.observe import metrics

log = structlog.get_logger()

FULL_SECONDS = 0.1
"""How long a window must be full before its partition is paused: pausing discards what was fetched."""
NAP_SECONDS = 0.01
TAKE_SECONDS = 10.0
"""For so long what one poll brought waits for room in all: the group wants to be polled again."""


class Consumer:
    """From the member to the flow."""

    def __init__(
        self,
        *,
        membership: Membership,
        partitions: OwnedPartitions,
        flow: Flow,
        waits: Callable[[], bool],
        prepare: Callable[[], Awaitable[None]],
        clock: Clock,
        limits: Limits,
    ) -> None:
        self._membership = membership
        self._partitions = partitions
        self._flow = flow
        self._waits = waits
        self._prepare = prepare
        self._clock = clock
        self._limits = limits
        self.polling_since: float | None = None
        """When the current poll began, monotonic seconds; None while none is under way."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll until *stopping*, or until the consumer is beyond repair."""
        wait = timedelta(seconds=self._limits.poll_wait)
        while not stopping.is_set():
            await self._keep_window()
            # Never cancelled and never given a time limit: a cancelled poll leaks inside the client.
            self.polling_since = self._clock.monotonic()
            try:
                batches = await self._membership.member.poll(
                    limit=self._limits.poll_records, wait=wait
                )
            except MembershipLostError as error:
                log.warning("membership_lost", error=str(error))
                return
            finally:
                self.polling_since = None
            await self._take(batches)

    async def _take(self, batches: Mapping[Partition, Batch]) -> None:
        work: list[tuple[Owned, Batch]] = []
        for partition, batch in batches.items():
            owned = self._partitions.current(partition)
            if owned is None or owned.closing:
                continue  # it will be read again, by whoever owns it then
            fresh = Batch(_from(batch, owned.tracker.read_pos), batch.next_offset)
            # Everything is registered before the first await: nothing can be committed past it.
            owned.tracker.register(
                (record.position.offset for record in fresh.records),
                next_offset=max(batch.next_offset, owned.tracker.read_pos),
            )
            owned.ages.note(fresh.records)
            metrics.records_read(partition.topic, len(fresh.records))
            log.debug(
                "batch_read",
                partition=str(partition),
                records=len(fresh.records),
                next_offset=fresh.next_offset,
                open=owned.tracker.open_count,
            )
            work.append((owned, fresh))
        limits = self._limits
        until = self._clock.monotonic() + TAKE_SECONDS
        for owned, batch in work:
            begin = 0
            while begin < len(batch.records):
                if not (self._partitions.is_held(owned) and owned.active):
                    break
                if self._has_too_many() and self._clock.monotonic() < until:
                    await self._clock.sleep(NAP_SECONDS)
                    continue
                records = batch.records[begin : begin + limits.slice_records]
                begin += self._flow.deliver(owned, records, most=limits.slice_deliveries)
                await self._prepare()

    async def _keep_window(self) -> None:
        """Wait a little for room; pause partitions that stay full, resume those with room again."""
        until = self._clock.monotonic() + FULL_SECONDS
        while (full := self._full()) and self._clock.monotonic() < until:
            await self._clock.sleep(NAP_SECONDS)
        if full:
            self._membership.member.pause([owned.partition for owned in full])
        for owned in full:
            owned.paused = True
        room = self._with_room()
        if room:
            self._membership.member.resume([owned.partition for owned in room])
        for owned in room:
            owned.paused = False

    def _full(self) -> list[Owned]:
        """Return what has to be paused."""
        feeding = [owned for owned in self._partitions.loaded() if not owned.paused]
        if self._must_wait():
            return feeding
        return [owned for owned in feeding if self._is_full(owned)]

    def _with_room(self) -> list[Owned]:
        """Return what can be resumed: half of every window is free."""
        paused = [owned for owned in self._partitions.loaded() if owned.paused]
        if not paused or self._must_wait(share=0.5):
            return []
        return [owned for owned in paused if not self._is_full(owned, share=0.5)]

    def _must_wait(self, share: float = 1.0) -> bool:
        """Tell whether no partition may be read: nobody can be reached, or too much is open in all."""
        return self._waits() or self._has_too_many(share)

    def _is_full(self, owned: Owned, share: float = 1.0) -> bool:
        tracker, limits = owned.tracker, self._limits
        return (
            tracker.open_count >= limits.window_open * share
            or owned.held_bytes >= limits.window_bytes * share
            or (tracker.open_count > 0 and tracker.span >= limits.window_offsets * share)
        )

    def _has_too_many(self, share: float = 1.0) -> bool:
        return self._partitions.pairs >= self._limits.window_deliveries * share


def _from(batch: Batch, position: int) -> Sequence[Record]:
    """Leave out what was read before: after a seek the client may still hand out old records."""
    records = batch.records
    if not records or records[0].position.offset >= position:
        return records
    return [record for record in records if record.position.offset >= position]
