"""Children that are started in order, restarted when they die, and stopped in the reverse order."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from services.dev.process import ServerError

AGAIN_SECONDS, AGAIN_MOST_SECONDS = 0.5, 10.0
STABLE_SECONDS = 30.0
"""A child that lived so long is restarted at once; one that keeps dying, ever later."""


class Server(Protocol):
    """Something that runs: a child of ours, or an embedded server."""

    async def start(self) -> object:
        """Start and wait until it answers. Raises ServerError."""

    async def wait(self) -> int:
        """Wait for its end."""

    async def stop(self) -> None:
        """End it, within a bound."""


Say = Callable[[str], None]


@dataclass
class _Entry:
    name: str
    server: Server
    watch: "asyncio.Task[None] | None" = None


class Supervisor:
    """Runs servers by name. `say` is told what ended and what was started again."""

    def __init__(self, *, say: Say) -> None:
        self._say = say
        self._entries: list[_Entry] = []
        self._stopping = False

    async def run(self, until: Awaitable[object]) -> None:
        """Restart what ends, until *until* is done; then stop all, the last started first."""
        async with asyncio.TaskGroup() as group:
            for entry in self._entries:
                entry.watch = group.create_task(self._watch(entry))
            try:
                await until
            finally:
                self._stopping = True
                for entry in self._entries:
                    if entry.watch is not None:
                        entry.watch.cancel()
                await self.stop()

    async def start(self, *servers: tuple[str, Server]) -> None:
        """Start these side by side, and keep them for `run` and `stop`. Raises ServerError."""
        self._entries += [_Entry(name, server) for name, server in servers]
        results = await asyncio.gather(
            *(server.start() for _, server in servers), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def stop(self) -> None:
        """Stop all, the last started first."""
        while self._entries:
            await self._entries.pop().server.stop()

    async def _watch(self, entry: _Entry) -> None:
        loop = asyncio.get_running_loop()
        pause = AGAIN_SECONDS
        while True:
            began = loop.time()
            code = await entry.server.wait()
            self._say(f"{entry.name} ended with code {code}; starting it again")
            if loop.time() - began > STABLE_SECONDS:
                pause = AGAIN_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, AGAIN_MOST_SECONDS)
            try:
                await entry.server.start()
            except ServerError as error:
                self._say(f"{entry.name}: {error}")
