"""The far end of a line: a server that is slow, down, or whose answer gets lost.

What is asked takes effect in one instant at the server, in no process: a caller that dies meanwhile,
gives up or sleeps changes nothing about that. So of every call that failed with "gone" one doesn't
know whether it took effect, as in real life.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from tests.support.processes import later

T = TypeVar("T")


class State(Enum):
    """How a server does."""

    UP = "up"  #: answers
    REFUSING = "refusing"  #: nobody listens: a caller knows at once
    HANGING = "hanging"  #: takes what is sent, does nothing, answers nothing


class GoneError(Exception):
    """No answer: whether the question took effect is unknown."""


def no_time() -> float:
    """Return how long things take where that doesn't matter."""
    return 0.0


class Server:
    """Takes questions, and answers them after a while."""

    def __init__(self, *, latency: Callable[[], float] = no_time) -> None:
        self._latency = latency
        self.state = State.UP
        self.loses: Callable[[], bool] = lambda: False
        """Whether the answer that is due now gets lost."""
        self.sealed = False
        """Nobody is heard any more: the simulation is over."""

    def go(self, state: State) -> None:
        """Go down, or come back."""
        self.state = state

    async def ask(self, effect: Callable[[], T], *, seconds: float) -> T:
        """Have *effect* at the server, and return its answer. Raises GoneError."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self.sealed:
            later(self._latency(), self._arrives, effect, answer)
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            raise GoneError("no answer in time") from error

    def _arrives(self, effect: Callable[[], T], answer: asyncio.Future[T]) -> None:
        if self.sealed or self.state is State.HANGING:
            return
        if self.state is State.REFUSING:
            self._answer(answer, GoneError("refused"))
            return
        found: Any
        try:
            found = effect()
        except Exception as error:  # noqa: BLE001 - it is the answer
            found = error
        if not self.loses():
            self._answer(answer, found)

    def _answer(self, answer: asyncio.Future[T], found: Any) -> None:  # noqa: ANN401 - or an error
        later(self._latency(), _resolve, answer, found)


def _resolve(answer: asyncio.Future[Any], found: Any) -> None:  # noqa: ANN401 - or an error
    if answer.done():
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
        answer.exception()  # its caller may be dead
    else:
        answer.set_result(found)
