"""The tasks that send: each makes one request after another.

There are as many as there are requests at once, started on demand. One with nothing to do waits on a
stack: the last to go idle is the first to be called, so that a quiet worker uses few of them.
"""

import asyncio
from collections.abc import Awaitable, Callable

from services.deliver.outbox import Outbox


class Couriers:
    """Up to *most* couriers. Each asks *next_* for an outbox, and has *send* make one request of it."""

    def __init__(
        self,
        *,
        next_: Callable[[], Outbox | None],
        send: Callable[[int, Outbox], Awaitable[None]],
        most: int,
    ) -> None:
        self._next = next_
        self._send = send
        self._most = most
        self._count = 0
        self._idle: list[asyncio.Future[None]] = []
        self._group: asyncio.TaskGroup | None = None

    def start(self, group: asyncio.TaskGroup) -> None:
        """Start couriers in *group* from now on; those called before are not there yet."""
        self._group = group

    def call(self) -> None:
        """See that somebody comes for what can be sent; where all are busy, one comes when it is done."""
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                return
        if self._group is not None and self._count < self._most:
            self._count += 1
            self._group.create_task(self._work(self._count))

    async def _work(self, number: int) -> None:
        while True:
            outbox = self._next()
            if outbox is not None:
                await self._send(number, outbox)
                continue
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            await waiting
