"""A data folder: one user at a time, and ports that stay the same over restarts."""

import fcntl
import json
import os
import socket
from pathlib import Path

from services.dev.process import ServerError


class Folder:
    """A folder with a lock and a memory for ports."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def claim(self) -> None:
        """Take the folder. Raises ServerError if another process has it, or it can't be used."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServerError(
                f"the data folder {self.path} can't be used: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.read(lock, 32).decode(errors="replace").strip()
            os.close(lock)
            raise ServerError(
                f"the data folder {self.path} is in use by process {pid}: stop that one, or choose"
                " another folder with --data"
            ) from error
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock

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
            stored = []
        if len(stored) == count and all(is_free(port) for port in stored):
            return [int(port) for port in stored]
        fresh = free_ports(count)
        file.write_text(json.dumps(fresh))
        return fresh


def is_free(port: object) -> bool:
    """Tell whether nobody listens on *port* of the loopback interface."""
    if not isinstance(port, int):
        return False
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return *count* different free ports."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
