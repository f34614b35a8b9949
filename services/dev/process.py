"""A child process that ends with its parent and logs to a file."""

import asyncio
import ctypes
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

from services.kernel.errors import WebhooksError

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 5
_TAIL_BYTES = 8192
_POLL_SECONDS = 0.02


def identity(user: str | None) -> dict[str, Any]:
    """Return what makes `subprocess` run a program as *user*, its groups included; None: as we are.

    Without the groups it would still be in root's, and folders of root closed to that group are
    then closed to it, whatever they allow everybody else.
    """
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


class ServerError(WebhooksError):
    """A server of the development stack can't run."""


class Child:
    """One process, known by its id; nothing else is ever signalled.

    `alive` and `returncode` ask the system, so they are right at any time, on any loop and between
    loops.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path | None) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        log: Path | None,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        keep_open: Sequence[int] = (),
        at_parents_death: Signals = SIGKILL,
    ) -> "Child":
        """Start *argv*, its output appended to *log*, or inherited where that is None.

        The child ends when the *thread* that calls this ends: call it where the process's main
        loop runs, never in a worker thread. Descriptors in *keep_open* are the child's too.
        """
        prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is safe
        parent = os.getpid()

        def die_with_parent() -> None:
            prctl(_PR_SET_PDEATHSIG, int(at_parents_death))
            if os.getppid() != parent:  # it died before this was asked for
                os._exit(1)

        out = log.open("ab") if log is not None else None
        try:
            process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own arguments; milliseconds
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(environment) if environment is not None else None,
                **identity(user),
                pass_fds=keep_open,
                start_new_session=True,  # Ctrl-C is for the parent, who stops the others in order
                preexec_fn=die_with_parent,  # noqa: PLW1509 - prctl has no other place
            )
        finally:
            if out is not None:
                out.close()
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def signal(self, number: Signals) -> None:
        """Send a signal, if it still runs."""
        if self.alive:
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end."""
        while True:
            code = self._process.poll()
            if code is not None:
                return code
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, *, seconds: float, how: Signals = SIGTERM) -> int:
        """Ask it to end, and after *seconds* end it."""
        self.signal(how)
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once."""
        self.signal(SIGKILL)
        return await self.wait()

    def last_words(self) -> str:
        """Return the end of its log, for an error message."""
        if self._log is None or not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])
