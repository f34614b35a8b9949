"""From the log of attempts into Postgres: each attempt once, whatever fails in between.

    assigned ──▶ stand: Postgres says where to go on ──▶ poll ──▶ one transaction a partition ──▶ poll …
                   │  above the log's end: a new topic; from its beginning
                   └─ below its start: a gap, logged and counted

A transaction moves the partition's offset from where the batch was read to where reading goes on. If it
isn't where we expect it, another recorder owns the partition, or our last transaction took effect without
our knowing: then nothing is stored, and Postgres is asked again. The group only shares out partitions;
its offsets are a copy, a second late, for measuring lag, and nobody reads from them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from services.kernel.clock import Clock
from services.kernel.errors import (
    BrokerGoneError,
    CommitRefusedError,
    MembershipLostError,
    StoreGoneError,
)
from services.kernel.event import Batch, Partition, Record
from services.kernel.ports.broker import Commit, Member, Offsets
from services.kernel.ports.history import AttemptStore, Written
from services.observe import metrics
from services.record.codec import UnreadableError, decode

log = structlog.get_logger()

RECORDS = 32
"""Of one poll: a record has up to 1,500 attempts, and all of them are held."""
WAIT = timedelta(seconds=0.5)
LINGER_SECONDS = 0.2
"""Between polls that found little: a transaction for many records costs what one for few does."""
AGAIN_SECONDS = 1.0
TELL_SECONDS = 1.0
METADATA = "v1"
"""Of the group's offsets, which nobody but us sets: those of a tool have none."""
DAY = timedelta(days=1)
AHEAD = 2
"""Days whose tables are made ahead."""
KEEP_SECONDS = 600.0


class Recorder:
    """Reads what the group gives it, and stores it."""

    def __init__(
        self,
        *,
        make_member: Callable[[], Member],
        offsets: Offsets,
        store: AttemptStore,
        retention_days: int,
        clock: Clock,
    ) -> None:
        self._make_member = make_member
        self._member = make_member()
        self._offsets = offsets
        self._store = store
        self._retention = DAY * retention_days
        self._clock = clock
        self._stands: dict[Partition, int | None] = {}
        """Where each partition goes on; None: to be asked for."""
        self._told: dict[Partition, int] = {}
        self._told_at = 0.0
        self._stopping = False
        self._waits: str | None = "has no partitions yet"

    @property
    def trouble(self) -> str | None:
        """Return None while all is well, else what isn't."""
        return self._waits

    def stop(self) -> None:
        """End after the transaction under way."""
        self._stopping = True

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """Take *partitions*, once Postgres has said where they go on."""
        self._stands.update(dict.fromkeys(partitions))
        self._waits = None
        log.info("recorder_assigned", partitions=len(partitions))

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Let go of *partitions*: what is under way for them is stored, or fenced."""
        for partition in partitions:
            self._stands.pop(partition, None)

    async def run(self) -> None:
        """Store what comes until stopped."""
        while not self._stopping:
            try:
                await self._member.start(self)
                await self._read()
            except (MembershipLostError, BrokerGoneError) as error:
                await self._wait(error)
            finally:
                await self._member.stop()
                self._stands.clear()
            if not self._stopping:
                self._member = self._make_member()

    async def _read(self) -> None:
        while not self._stopping:
            await self._seek()
            batches = await self._member.poll(limit=RECORDS, wait=WAIT)
            for partition, batch in batches.items():
                await self._take(partition, batch)
            await self._tell()
            if sum(len(batch.records) for batch in batches.values()) < RECORDS:
                await self._clock.sleep(LINGER_SECONDS)

    async def _tell(self) -> None:
        """Copy where we stand to the group, once a second: an autoscaler goes by its lag."""
        now = self._clock.monotonic()
        stands = {p: offset for p, offset in self._stands.items() if offset is not None}
        if not stands or stands == self._told or now - self._told_at < TELL_SECONDS:
            return
        self._told, self._told_at = stands, now
        try:
            await self._member.commit({p: Commit(at, METADATA) for p, at in stands.items()})
        except (CommitRefusedError, BrokerGoneError) as error:  # the next one says as much
            log.debug("recorder_offsets_not_told", error=str(error))

    async def keep(self) -> None:
        """Make the tables of days to come, drop those of days long gone; until cancelled."""
        while True:
            now = self._clock.now()
            try:
                await self._store.make_days([_day(now) + DAY * n for n in range(-1, AHEAD + 1)])
                for name in await self._store.expire(before=now - self._retention, now=now):
                    log.info("attempts_day_dropped", table=name)
            except StoreGoneError as error:
                log.warning("recorder_waits", error=str(error))
                await self._clock.sleep(AGAIN_SECONDS)
            else:
                await self._clock.sleep(KEEP_SECONDS)

    async def _seek(self) -> None:
        """Begin where Postgres says, for partitions that aren't read yet."""
        new = [partition for partition, stand in self._stands.items() if stand is None]
        if not new:
            return
        try:
            for partition, offset in [(p, await self._stand(p)) for p in new]:
                if partition in self._stands:  # it may have gone meanwhile
                    self._stands[partition] = offset
                    self._member.seek(partition, offset)
        except (StoreGoneError, BrokerGoneError) as error:
            await self._wait(error)
        else:
            self._waits = None

    async def _stand(self, partition: Partition) -> int:
        """Return where *partition* goes on. Raises StoreGoneError and BrokerGoneError."""
        bounds = (await self._offsets.bounds([partition]))[partition]
        stored = await self._store.next_offset(partition)
        if stored is not None and bounds.start <= stored <= bounds.end:
            return stored
        if stored is not None and stored > bounds.end:
            metrics.RECORDER_GAPS["recreated"].inc()
            log.error("attempts_recreated", partition=str(partition), stored=stored, end=bounds.end)
        elif stored is not None:
            metrics.RECORDER_GAPS["retention"].inc()
            log.error("attempts_gap", partition=str(partition), stored=stored, start=bounds.start)
        await self._store.begin(partition, before=stored, offset=bounds.start)
        return bounds.start

    async def _take(self, partition: Partition, batch: Batch) -> None:
        """Store a batch, however long Postgres is away; a partition that was lost is let go of."""
        records = self._readable(batch.records)
        while (before := self._stands.get(partition)) is not None and not self._stopping:
            if batch.records and batch.records[0].position.offset < before:
                self._stands[partition] = None  # fetched before it was sought
                return
            try:
                await self._make_days(records)
                count = await self._store.store(
                    partition, records, before=before, after=batch.next_offset
                )
            except StoreGoneError as error:
                await self._wait(error)
                continue
            self._waits = None
            if self._stands.get(partition) != before:
                return  # it went meanwhile; one that came back is sought first
            if count is None:
                log.info("attempts_fenced", partition=str(partition), before=before)
                self._stands[partition] = None
                return
            self._stands[partition] = batch.next_offset
            metrics.ATTEMPTS_RECORDED.inc(count)
            return

    def _readable(self, records: Iterable[Record]) -> Sequence[Written]:
        """Return what is ours and can be kept; all else is counted."""
        found = []
        now = self._clock.now()
        first = (now - self._retention).timestamp()
        last = (_day(now) + DAY * AHEAD).timestamp()
        for record in records:
            try:
                written = decode(record.value or b"")
            except UnreadableError as error:
                metrics.RECORDER_SKIPPED["unreadable"].inc()
                log.warning("attempts_unreadable", position=str(record.position), error=str(error))
                continue
            kept = [a for a in written.attempts if first <= a.started_at < last]
            if len(kept) < len(written.attempts):
                metrics.RECORDER_SKIPPED["time"].inc(len(written.attempts) - len(kept))
                log.warning("attempts_out_of_time", position=str(record.position))
            found.append(written._replace(attempts=kept))
        return found

    async def _make_days(self, records: Sequence[Written]) -> None:
        """Make the tables that *records* need: they may be of days when no recorder ran."""
        days = {a.started_at // 86_400 for record in records for a in record.attempts}
        today = _day(self._clock.now())
        wanted = {today + DAY * (day - today.timestamp() // 86_400) for day in days}
        if wanted:
            await self._store.make_days(wanted)

    async def _wait(self, error: Exception) -> None:
        self._waits = str(error)
        log.warning("recorder_waits", error=str(error))
        await self._clock.sleep(AGAIN_SECONDS)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
