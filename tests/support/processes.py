"""Processes that can be killed at any await and put to sleep, all on one virtual loop.

A `Process` is whatever was started with it: its tasks, their callbacks and timers, known by a context
variable. Killed, none of its callbacks ever runs again, as with kill -9: no `finally`, no `except`.
Asleep, its callbacks wait until it wakes, as with SIGSTOP: answers and timers come late. Servers run
in no process: what was sent to them before a kill still arrives.

Hashes of tasks are numbered, so that sets of tasks keep their order from run to run.
"""

import asyncio
import heapq
import itertools
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from tests.support.virtual_time import VirtualLoop

T = TypeVar("T")

ROUNDS = 20

NO_PROCESS = Context()
"""Where servers run: what is scheduled in it outlives every process."""


class Process:
    """One process: alive, asleep or dead."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.asleep = False
        self.steps = 0
        """Callbacks run so far: each is a place to be killed at."""
        self.dies_at: int | None = None
        self.tasks: list[asyncio.Task[Any]] = []
        self._missed: list[asyncio.Handle] = []
        """What would have run while it was asleep, or since it is dead."""

    def start(self, main: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *main* as this process."""
        context = copy_context()
        context.run(_process.set, self)
        return asyncio.get_running_loop().create_task(main, context=context)

    def kill(self) -> None:
        """Nothing of it runs any more."""
        self.alive = False

    def kill_after(self, steps: int) -> None:
        """Kill it before it runs another *steps* callbacks: between any two of them."""
        self.dies_at = self.steps + steps

    def sleep(self) -> None:
        """Stop it; the world goes on."""
        self.asleep = True

    def wake(self) -> None:
        """Let it go on; answers that came meanwhile come before timers, as on a real loop."""
        self.asleep = False
        self._catch_up()

    def _catch_up(self) -> None:
        missed, self._missed = self._missed, []
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        ready.extend(h for h in missed if not isinstance(h, asyncio.TimerHandle))
        ready.extend(h for h in missed if isinstance(h, asyncio.TimerHandle))

    def admits(self, handle: asyncio.Handle) -> bool:
        """Tell whether *handle* runs now; keep it for later where it is asleep."""
        runs = self.alive and not self.asleep
        if runs:
            self.steps += 1
            if self.dies_at is not None and self.steps >= self.dies_at:
                self.kill()
                runs = False
        if not runs:
            self._missed.append(handle)
        return runs

    async def bury(self) -> None:
        """End what is left of its tasks, so that none is collected while it is pending.

        They are cancelled, and run what cleans up: the servers must not listen any more.
        """
        self.alive, self.asleep, self.dies_at = True, False, None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what never began is never awaited
            await self._end_tasks()

    async def _end_tasks(self) -> None:
        for _ in range(ROUNDS):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self._catch_up()
            await asyncio.wait(left, timeout=0.001)
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()
        assert all(task.done() for task in self.tasks), [t for t in self.tasks if not t.done()]

    def __repr__(self) -> str:
        state = "dead" if not self.alive else "asleep" if self.asleep else "alive"
        return f"<Process {self.name} {state}>"


_process: ContextVar[Process | None] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """Return the process that is running; None: a server, or the test itself."""
    return _process.get()


def later(seconds: float, call: Callable[..., object], *args: object) -> None:
    """Call *call* in no process after *seconds*, whatever becomes of the caller."""
    asyncio.get_running_loop().call_later(seconds, call, *args, context=NO_PROCESS.copy())


class _Handle(asyncio.Handle):
    __slots__ = ("process",)
    process: Process

    def _run(self) -> None:
        if self.process.admits(self):
            super()._run()


class _TimerHandle(asyncio.TimerHandle):
    __slots__ = ("process",)
    process: Process

    def _run(self) -> None:
        if self.process.admits(self):
            super()._run()


class _Task(asyncio.Task[Any]):
    def __init__(self, number: int, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - a task's
        self._number = number
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class ProcessLoop(VirtualLoop):
    """A virtual loop on which processes run, and stop running."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()
        self.set_task_factory(self._make_task)

    def _call_soon(self, callback: Any, args: Any, context: Any) -> asyncio.Handle:  # noqa: ANN401
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super()._call_soon(callback, args, context)  # type: ignore[misc,no-any-return]
        handle = _Handle(callback, args, self, context)
        handle.process = process
        self._ready.append(handle)
        return handle

    def call_at(
        self,
        when: float,
        callback: Any,  # noqa: ANN401
        *args: Any,  # noqa: ANN401
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        process = _process.get() if context is None else context.get(_process)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        timer = _TimerHandle(when, callback, args, self, context)
        timer.process = process
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **options: Any,  # noqa: ANN401 - newer versions pass more
    ) -> asyncio.Task[Any]:
        task = _Task(next(self._numbers), work, loop=loop, context=context, **options)
        process = _process.get() if context is None else context.get(_process)
        if process is not None:
            process.tasks.append(task)
        return task


def run_with_processes(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end on a loop of its own, in virtual time."""
    with asyncio.Runner(loop_factory=ProcessLoop) as runner:
        return runner.run(main)
