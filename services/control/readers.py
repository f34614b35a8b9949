"""A few readers of the log, for all that look into it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.kernel.errors import BrokerGoneError
from services.kernel.ports.broker import LogReader

READERS = 4
READER_SECONDS = 5.0


class Readers:
    """A few readers of the log, each used by one request at a time."""

    def __init__(self, make: Callable[[], LogReader]) -> None:
        self._make = make
        self._idle: list[LogReader] = []
        self._free = asyncio.Semaphore(READERS)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[LogReader]:
        """Hold one. Raises BrokerGoneError where all are busy for too long."""
        try:
            async with asyncio.timeout(READER_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            raise BrokerGoneError("all readers of the log are busy") from error
        reader = self._idle.pop() if self._idle else self._make()
        try:
            yield reader
        finally:
            self._idle.append(reader)
            self._free.release()

    async def stop(self) -> None:
        """Close those that are open."""
        for reader in self._idle:
            await reader.stop()
