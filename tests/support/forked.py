"""`planner-webhooks …` that begins at once: a process forked from one that has imported everything.

To import a role takes a second of a busy core, which is more than most tests need otherwise, and a run
starts hundreds. All else is as without: environment, exit codes, signals. How the command itself begins
is tested in `test_start`, `test_dev` and `test_image`.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROLES = ("services.run.dispatch", "services.run.api.role", "services.run.record")
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["services.cli.app", *ROLES])


class Forked:
    """A process with what tests use of `asyncio.subprocess.Process`."""

    def __init__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], out: Path, err: Path
    ) -> None:
        out.touch()  # whoever looks at them needn't know whether it has begun
        err.touch()
        told = (list(arguments), dict(environment), str(out), str(err))
        self._process = _CONTEXT.Process(target=_run, args=told, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal that ended it."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end; return the exit code."""
        loop = asyncio.get_running_loop()
        while self.returncode is None:
            ended = asyncio.Event()
            loop.add_reader(self._process.sentinel, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(self._process.sentinel)
        return self._process.exitcode or 0


def _run(arguments: list[str], environment: dict[str, str], *files: str) -> None:
    from services.cli.app import main  # noqa: PLC0415 - in the child, where it is there already

    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["planner-webhooks", *arguments]
    main()
