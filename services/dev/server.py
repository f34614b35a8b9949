"""What an embedded Kafka and an embedded Postgres have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from signal import SIGTERM, Signals
from typing import ClassVar

from services.dev.folder import Folder
from services.dev.process import Child, ServerError

POLL_SECONDS = 0.05
NOISE = "SLF4J: "
"""Kafka's complaint, at each start, that nothing is there to write its log."""

Probe = Callable[[str], Awaitable[bool]]
"""Asks the server at an address for something real; False while nobody answers."""


class EmbeddedServer:
    """A server on free ports of the loopback interface; data and ports stay in its folder.

    `start` after `stop` or `kill` goes on with the same data at the same address.
    """

    name: ClassVar[str]
    ready_seconds: ClassVar[float]
    stop_seconds: ClassVar[float]
    stop_signal: ClassVar[Signals] = SIGTERM

    def __init__(self, folder: Path, *, probe: Probe) -> None:
        self._folder = Folder(folder)
        self._probe = probe
        self._child: Child | None = None

    async def start(self) -> str:
        """Start, wait until it really answers, and return its address. Raises ServerError."""
        lock = await self._folder.claim()
        try:
            self._child = await self._launch(lock)
            await self._until_ready()
        except BaseException:  # cancelled too: nothing stays behind that nobody knows of
            await self.kill()
            raise
        return self._address()

    @property
    def child(self) -> Child:
        """The process. Raises ServerError before it was started."""
        if self._child is None:
            raise ServerError(f"{self.name} was not started")
        return self._child

    async def wait(self) -> int:
        """Wait for its end."""
        return await self.child.wait()

    async def stop(self) -> None:
        """End it, connections included; its data stays."""
        if self._child is not None:
            await self._child.stop(seconds=self.stop_seconds, how=self.stop_signal)
        self._folder.release()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            await self._child.kill()
        self._folder.release()

    async def _launch(self, lock: int) -> Child:
        """Start the process, which holds *lock* as long as it lives. Raises ServerError."""
        raise NotImplementedError

    def _address(self) -> str:
        """Return where it is, once it was launched."""
        raise NotImplementedError

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.ready_seconds
        while not await self._probe(self._address()):
            if not self.child.alive or loop.time() > until:
                raise ServerError(
                    f"{self.name} does not start; its data folder {self._folder.path} may be"
                    f" broken: remove it to start afresh.{_said(self.child.last_words())}"
                )
            await asyncio.sleep(POLL_SECONDS)


def _said(words: str) -> str:
    lines = [line for line in words.splitlines() if not line.startswith(NOISE)]
    return "\n".join([" It said:", *lines]) if lines else ""
