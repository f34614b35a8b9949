"""One role of the product as a child whose command line names it."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.dev.process import Child, ServerError

READY_SECONDS = 60.0
POLL_SECONDS = 0.05
ANSWER_SECONDS = 2.0


class Role:
    """`planner-webhooks <arguments>` in a process of its own; output to *log*, or to ours."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        log: Path | None,
        health: str | None = None,
        stop_seconds: float = 15.0,
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._log = log
        self._health = health
        self._stop_seconds = stop_seconds
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it; where `host:port` of its health is known, wait until it is ready.

        Raises ServerError if it ends before that, with the last it said.
        """
        self._child = await Child.start(
            [*command(), *self._arguments], log=self._log, environment=self._environment
        )
        if self._health is None:
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_SECONDS
        while not await is_ready(self._health):
            if not self._child.alive or loop.time() > until:
                words = self._child.last_words()
                await self._child.kill()
                raise ServerError(f"{' '.join(self._arguments)} does not start: {words}")
            await asyncio.sleep(POLL_SECONDS)

    @property
    def pid(self) -> int:
        """Its process; 0 before it was started."""
        return self._child.pid if self._child is not None else 0

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._child.wait() if self._child is not None else 0

    async def stop(self) -> None:
        """Ask it to drain and end, within its time."""
        if self._child is not None:
            await self._child.stop(seconds=self._stop_seconds)


def command() -> Sequence[str]:
    """Return how this program is called."""
    script = Path(sys.executable).with_name("planner-webhooks")
    return [sys.executable, str(script)] if script.exists() else [sys.executable, "-m", "services"]


async def is_ready(address: str) -> bool:
    """Tell whether `GET /readyz` at `host:port` is answered with 200."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
