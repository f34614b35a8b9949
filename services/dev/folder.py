"""A data folder: one owner at a time, and ports that stay the same over restarts."""

import asyncio
import contextlib
import fcntl
import json
import os
import random
import socket
from pathlib import Path

from services.dev.process import ServerError

ORPHAN_SECONDS = 10.0
POLL_SECONDS = 0.05
PORTS_FROM = 15_000
PORTS_TRIED = 200


class Folder:
    """A folder with a lock and a memory for ports.

    The lock is handed to the server too, as an open descriptor. So it is held until the last
    process that works in the folder is gone, also when the one that started it was killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    async def claim(self) -> int:
        """Take the folder and return the lock's descriptor, for the server to keep open.

        Raises ServerError if another process has it, or it can't be used.
        """
        if self._lock is not None:
            return self._lock
        lock = self._open()
        until = asyncio.get_running_loop().time() + ORPHAN_SECONDS
        while not _taken(lock):
            pid = os.pread(lock, 32, 0).decode(errors="replace").strip()
            # A dead owner's server has been told to end, and needs a moment for it.
            if _runs(pid) or asyncio.get_running_loop().time() > until:
                os.close(lock)
                raise ServerError(
                    f"the data folder {self.path} is in use by process {pid}: stop that one, or"
                    " choose another folder"
                )
            await asyncio.sleep(POLL_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        return lock

    def release(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def ports(self, name: str, count: int) -> list[int]:
        """Return the *count* ports of *name*: those of last time if they are still free."""
        file = self.path / f"{name}.ports.json"
        try:
            stored = json.loads(file.read_text())
        except (OSError, ValueError):
            stored = None
        if isinstance(stored, list) and len(stored) == count and all(map(is_free, stored)):
            return stored
        fresh = free_ports(count)
        file.write_text(json.dumps(fresh))
        return fresh

    def _open(self) -> int:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(
                f"the data folder {self.path} can't be used: {error.strerror}"
            ) from error


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _runs(pid: str) -> bool:
    """Tell whether *pid* is another process that lives; our own may have left a dying server."""
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_free(port: object) -> bool:
    """Tell whether nobody listens on *port* of the loopback interface."""
    if not isinstance(port, int) or not 0 < port < 1 << 16:
        return False
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return *count* different free ports, none of which the system hands out to clients.

    On a port of that range a client that keeps connecting to a stopped server can get connected to
    itself, and then the port is taken when the server comes back.
    """
    chance = random.Random(os.urandom(8))  # noqa: S311 - to start elsewhere than others, no secret
    found: set[int] = set()
    for _ in range(PORTS_TRIED):
        port = chance.randrange(PORTS_FROM, _first_client_port())
        if is_free(port):
            found.add(port)
        if len(found) == count:
            return sorted(found)
    raise ServerError(f"no {count} free ports were found on 127.0.0.1")


def _first_client_port() -> int:
    first = 32_768
    with contextlib.suppress(OSError, ValueError, IndexError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return first if first > PORTS_FROM + PORTS_TRIED else 1 << 16
