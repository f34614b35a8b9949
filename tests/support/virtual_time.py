"""An event loop on which hours pass in microseconds, the same way each time.

`loop.time()` is virtual: whenever nothing is ready, it jumps to the next timer. No real file
descriptor may be waited for. Order of callbacks is asyncio's own, which is deterministic.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class _NoWait(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Never blocks: what it was asked to wait is added to the loop's time instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never happen")
            self.loop.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock only moves when there is nothing else to do."""

    def __init__(self) -> None:
        selector = _NoWait()
        selector.loop = self
        self._virtual = 0.0
        super().__init__(selector)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._virtual

    def advance(self, seconds: float) -> None:
        self._virtual += max(seconds, 0.0)


class VirtualClock:
    """The `Clock` of code that runs on a `VirtualLoop`; the wall clock may jump."""

    def __init__(self) -> None:
        self.jump = timedelta()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic()) + self.jump

    def time(self) -> float:
        return self.now().timestamp()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* on a virtual loop to its end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
