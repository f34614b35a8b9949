"""A child process that ends with its parent and logs to a file."""

import asyncio
import ctypes
import os
from signal import SIGKILL, SIGTERM, Signals
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.kernel.errors import WebhooksError

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 5


class ServerError(WebhooksError):
    """A server of the development stack can't run."""


class Child:
    """One process, known by its id; nothing else is ever signalled."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path | None) -> None:
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
        at_parents_death: Signals = SIGKILL,
    ) -> "Child":
        """Start *argv*, its output appended to *log*, or inherited where that is None."""
        out = log.open("ab") if log is not None else None
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(environment) if environment is not None else None,
                user=user,
                start_new_session=True,  # Ctrl-C is for the parent, who stops the others in order
                preexec_fn=lambda: _die_with_parent(at_parents_death),
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
        return self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode

    def signal(self, number: Signals) -> None:
        """Send a signal, if it still runs."""
        if self.alive:
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for its end."""
        return await self._process.wait()

    async def stop(self, *, seconds: float, how: Signals = SIGTERM) -> int:
        """Ask it to end, and after *seconds* end it."""
        self.signal(how)
        try:
            return await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once."""
        self.signal(SIGKILL)
        return await self._process.wait()

    def last_words(self) -> str:
        """Return the end of its log, for an error message."""
        if self._log is None or not self._log.exists():
            return ""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def _die_with_parent(number: Signals) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() == 1:  # the parent died before this was asked for
        os._exit(1)
