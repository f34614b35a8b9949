"""Scanners give way: what they cost is measured, and others have their share of the loop in between.

What a scanner does is in slices between two awaits, measured each. What it makes others do is the
client's fetching, in tasks of the client's own: it is counted as so much of what reading takes.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import Any, TypeVar

from services.dispatch.owned import OwnedPartitions
from services.kernel.clock import Clock
from services.lanes.budget import Share

T = TypeVar("T")

FETCH_PER_READ = 0.75
"""What a fetch costs before it is read (socket, copies, frames), by what unpacking its records does.

Sampled with events of 1 kB that aren't compressed; both grow with bytes and records alike."""
FEW_OPEN = 16
"""Live traffic that has no more than so many offsets open in any partition waits for nobody."""


class Turns:
    """Of all scanners of a worker."""

    def __init__(self, *, partitions: OwnedPartitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock
        self._share = Share()

    async def read(self, work: Coroutine[Any, Any, T]) -> T:
        """Await *work*, a read of the log, and give way for what it cost; not for what it waited."""
        found, seconds = await metered(work, self._clock.monotonic)
        await self.give_way(seconds * (1 + FETCH_PER_READ))
        return found

    async def give_way(self, seconds: float) -> None:
        """Let others have their share after a slice of *seconds*."""
        now = self._clock.monotonic()
        self._share.took(seconds, now=now)
        wait: float | None = 0.0
        while wait is not None:
            due = now + wait
            await (self._clock.sleep(wait) if wait else asyncio.sleep(0))
            now = self._clock.monotonic()
            wait = self._share.came_back(late=now - due, now=now, live=self._is_live())

    def _is_live(self) -> bool:
        return any(owned.tracker.open_count > FEW_OPEN for owned in self._partitions.loaded())


@coroutine
def metered(
    work: Coroutine[Any, Any, T], monotonic: Callable[[], float]
) -> Generator[Any, Any, tuple[T, float]]:
    """Await *work*; return what it returns, and for how many seconds it ran, its waiting left out."""
    seconds, step = 0.0, partial(work.send, None)
    while True:
        began = monotonic()
        try:
            waits_for = step()
        except StopIteration as end:
            return end.value, seconds + monotonic() - began
        seconds += monotonic() - began
        try:
            step = partial(work.send, (yield waits_for))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for *work* to take
            step = partial(work.throw, error)
