"""A consumer can stay alive and read nothing, after a broker's restart say: nobody hears of it.

So progress is compared with the ends of the log. What is behind its end and does not move, though it
is asked for, is stuck; so is a poll that does not come back. The process then lets go of everything
and ends, and whoever runs it starts another: nothing less is known to help.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import structlog

from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError
from services.kernel.event import Partition
from services.kernel.ports.broker import Bounds, Offsets

log = structlog.get_logger()

LOOK_SECONDS = 5.0


class _Stand(NamedTuple):
    """Where a partition stood when it last moved, or was not expected to."""

    owned: Owned
    read_pos: int
    at: float


class Watchdog:
    """Looks every five seconds; *on_stuck* is called once, with what is wrong."""

    def __init__(
        self,
        *,
        offsets: Offsets,
        partitions: OwnedPartitions,
        polling_since: Callable[[], float | None],
        clock: Clock,
        seconds: float,
        on_stuck: Callable[[str], None],
    ) -> None:
        self._offsets = offsets
        self._partitions = partitions
        self._polling_since = polling_since
        self._clock = clock
        self._seconds = seconds
        self._on_stuck = on_stuck
        self._stands: dict[Partition, _Stand] = {}
        self._answered_since = math.inf

    async def run(self) -> None:
        """Look until something is stuck, or until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            # Those of before are asked for too: who lost all of them may be the one who is stuck.
            asked = {*self._stands, *(owned.partition for owned in self._partitions.all())}
            if not asked:
                continue
            try:
                bounds = await self._offsets.bounds(asked)
            except BrokerGoneError:
                self._answered_since = math.inf  # nothing can move without Kafka
                self._stands.clear()
                continue
            now = self._clock.monotonic()
            self._answered_since = min(self._answered_since, now)
            trouble = self._hangs(now) or self._lags(bounds, now)
            if trouble is not None:
                log.error("consumer_stuck", detail=trouble)
                self._on_stuck(trouble)
                return

    def _hangs(self, now: float) -> str | None:
        """Say which poll does not come back, though Kafka answers."""
        since = self._polling_since()
        if since is None or now - max(since, self._answered_since) < self._seconds:
            return None
        return f"a poll has not come back for {now - since:.0f} s"

    def _lags(self, bounds: Mapping[Partition, Bounds], now: float) -> str | None:
        """Say which partition is behind its end and does not move."""
        for owned in self._partitions.loaded():
            before = self._stands.get(owned.partition)
            stand = _Stand(owned, owned.tracker.read_pos, now)
            end = bounds[owned.partition].end if owned.partition in bounds else 0
            waits = owned.paused or not owned.active or owned.tracker.read_pos >= end
            if waits or before is None or before[:2] != stand[:2]:
                self._stands[owned.partition] = stand
            elif now - before.at >= self._seconds:
                behind, seconds = end - owned.tracker.read_pos, now - before.at
                return f"{owned.partition} is {behind} behind and was not read for {seconds:.0f} s"
        return None
