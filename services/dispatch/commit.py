"""Commits the lowest open offset of each partition, ten times a second if something changed."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import structlog

from services.dispatch.owned import Owned, OwnedPartitions
from services.feed.settled_map import encode
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, CommitRefusedError, StoreGoneError
from services.kernel.ports.broker import Commit, Member
from services.kernel.ports.store.partitions import PartitionStore, Stand
from services.observe import metrics

log = structlog.get_logger()


class Membership(Protocol):
    """Knows the group member that is current."""

    @property
    def member(self) -> Member:
        """The current member; a new one after this one is lost."""


class Committer:
    """The only place that commits. One commit at a time, and none outlives a revoke."""

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

    async def report(self, owned_partitions: Iterable[Owned]) -> None:
        """Tell Postgres where these partitions stand, and learn whose epoch is over.

        Otherwise a worker with nothing to write would never learn it, while its rows stay due.
        """
        mine = {owned.partition: owned for owned in owned_partitions}
        if not mine:
            return
        stands = {
            partition: Stand(
                epoch=owned.epoch,
                committed=owned.committed,
                read=owned.tracker.read_pos,
                open=owned.tracker.open_count,
                writes=owned.writes,
            )
            for partition, owned in mine.items()
        }
        try:
            over = await self._store.report_stands(stands)
        except StoreGoneError:
            return
        for partition in over:
            if not mine[partition].closing:  # else it was our own release
                mine[partition].refused = True

    def _progress(self, owned: Owned) -> Commit:
        owned.tracker.changed = False
        progress = owned.tracker.progress()
        metadata, fits = encode(
            epoch=owned.epoch,
            base=progress.offset,
            open_offsets=progress.open,
            end=progress.end,
            writes=owned.writes,
        )
        if not fits:
            metrics.COMMIT_MAP_DROPPED.inc()
        return Commit(progress.offset, metadata)
