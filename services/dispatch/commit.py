"""Commits: the lowest open offset of each partition, ten times a second where something changed."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from services.dispatch.owned import Owned, OwnedPartitions
from services.feed.settled_map import encode
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, CommitRefusedError, StoreGoneError
from services.kernel.event import Partition
from services.kernel.ports.broker import Commit, Member
from services.kernel.ports.store import PartitionStore
from services.observe import metrics

log = structlog.get_logger()


class Membership(Protocol):
    """Who is the group's member now."""

    @property
    def member(self) -> Member:
        """The present one; another after this one was lost."""


class Committer:
    """The only place that commits. One commit at a time, none alive across a revoke."""

    def __init__(
        self,
        *,
        membership: Membership,
        partitions: OwnedPartitions,
        store: PartitionStore,
        clock: Clock,
        interval: float,
    ) -> None:
        self._membership = membership
        self._partitions = partitions
        self._store = store
        self._clock = clock
        self._interval = interval
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Commit what changed, every interval, until cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            changed = [
                owned
                for owned in self._partitions.loaded()
                if owned.tracker.changed and not owned.closing
            ]
            if changed:
                await self.commit(changed)

    async def commit(self, owned_partitions: Iterable[Owned]) -> bool:
        """Commit the progress of these partitions; tell whether the group took it.

        Never raises for the group or the broker: an offset that isn't committed is committed later,
        or read again by the next owner.
        """
        async with self._busy:
            # Computed and checked after the wait, right before it is sent: nothing of an epoch
            # that ended meanwhile goes out.
            mine = [owned for owned in owned_partitions if self._partitions.is_held(owned)]
            commits = {owned.partition: self._progress(owned) for owned in mine}
            if not commits:
                return True
            try:
                await self._membership.member.commit(commits)
            except (CommitRefusedError, BrokerGoneError) as error:
                for owned in mine:
                    owned.tracker.changed = True
                result = "refused" if isinstance(error, CommitRefusedError) else "failed"
                metrics.COMMITS[result].inc()
                log.warning(
                    "commit_not_done", result=result, partitions=len(commits), error=str(error)
                )
                return False
            metrics.COMMITS["ok"].inc()
            for owned in mine:
                owned.committed = commits[owned.partition].offset
            return True

    async def save(self, owned_partitions: Iterable[Owned]) -> None:
        """Copy what was committed to Postgres, for when the group's offsets expire in Kafka."""
        mine = [owned for owned in owned_partitions if owned.committed not in (None, owned.saved)]
        rows: dict[Partition, tuple[int, int]] = {
            owned.partition: (owned.epoch, owned.committed)
            for owned in mine
            if owned.committed is not None
        }
        if not rows:
            return
        try:
            await self._store.save_committed(rows)
        except StoreGoneError:
            return
        for owned in mine:
            owned.saved = rows[owned.partition][1]

    def _progress(self, owned: Owned) -> Commit:
        owned.tracker.changed = False
        progress = owned.tracker.progress()
        metadata, fits = encode(
            epoch=owned.epoch,
            base=progress.offset,
            open_offsets=progress.open,
            end=progress.end,
        )
        if not fits:
            metrics.COMMIT_MAP_DROPPED.inc()
        return Commit(progress.offset, metadata)
