"""A delivery day for one receiver: what a van's day would have sent it, as tests, a few events a call.

Nothing is kept between calls. A seed makes the same day with the same ids, and whoever asks says where to
go on: so it survives restarts, ends when nobody asks any more, and its rate is bounded by the call.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from services.control.access import Caller
from services.control.checks import Checker
from services.control.journal import Journal
from services.control.subscriptions import Subscriptions
from services.control.test_calls import Requested, TestCalls, as_test
from services.kernel.clock import Clock
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Event, Json
from services.kernel.registration import Registration

INVALID = "The test day is not valid"
MAX_SEED, MAX_EVENTS = 1 << 31, 100_000
MOST, USUALLY = 50, 10
"""Events of one call."""
PER_SECOND = 20.0
STEP_SECONDS = 10.0
"""A call takes no longer, by more than one request."""
EVERY_POSITION = 20
"""A van tells where it is thousands of times a day: of these one in so many is sent."""
POSITION = "vehicle.position"
DAYS = 8

Day = Callable[[int, date], Sequence[Json]]
"""Makes the events of a day from a seed, in the order in which they are produced; of no project."""


class Step(NamedTuple):
    """Some events of a day."""

    seed: int
    begin: int
    total: int
    """Events of the day that the subscription wants."""
    requests: Sequence[Requested]

    @property
    def next(self) -> int | None:
        """Where to go on; None: it was the last."""
        end = self.begin + len(self.requests)
        return end if end < self.total else None


class TestDays:
    """Sends days."""

    __test__ = False  # not a test class, whatever its name

    def __init__(
        self,
        *,
        calls: TestCalls,
        subscriptions: Subscriptions,
        journal: Journal,
        day: Day,
        clock: Clock,
    ) -> None:
        self._calls = calls
        self._subscriptions = subscriptions
        self._journal = journal
        self._day = lru_cache(maxsize=DAYS)(day)
        self._clock = clock

    async def go_on(self, caller: Caller, id_: str, body: Json) -> Step:
        """Send the next events, one after the other. Raises FaultsError where none is wanted."""
        check = Checker(INVALID, body, known=("seed", "from", "events"))
        seed = check.number("seed", least=0, most=MAX_SEED, whole=True)
        begin = int(check.number("from", least=0, most=MAX_EVENTS, whole=True) or 0)
        most = int(check.number("events", least=1, most=MOST, whole=True) or USUALLY)
        registration = await self._subscriptions.get(caller, id_)
        check.finish()
        today = self._clock.now().date()
        seed = today.toordinal() if seed is None else int(seed)
        day = await asyncio.to_thread(self._day, seed, today)  # 50 ms where it isn't known yet
        wanted = await self._wanted(registration, day)
        if not wanted:
            message = "this webhook wants nothing of such a day: see its types and its filter"
            raise FaultsError(INVALID, [Fault("nothing", message, "")])
        requests = await self._send(registration, wanted[begin : begin + most])
        return Step(seed, begin, len(wanted), requests)

    async def _wanted(
        self, registration: Registration, day: Sequence[Json]
    ) -> Sequence[tuple[Event, str]]:
        """Return what the subscription would get, each with the name it asked for."""
        matcher = await self._journal.matcher(registration)
        found = []
        for body in _thinned(day):
            whole = {**body, "project_id": registration.project_id, "test": True}
            event = as_test(whole, registration, at=self._clock.time())
            found += [(event, name) for _, name in matcher.match(event)]
        return found

    async def _send(
        self, registration: Registration, wanted: Sequence[tuple[Event, str]]
    ) -> Sequence[Requested]:
        began = self._clock.monotonic()
        requests: list[Requested] = []
        for event, name in wanted:
            spent = self._clock.monotonic() - began
            if requests and spent > STEP_SECONDS:
                break
            await self._clock.sleep(max(0.0, len(requests) / PER_SECOND - spent))
            requests.append(await self._calls.request(registration, event, asked=name))
        return requests


def _thinned(day: Sequence[Json]) -> Sequence[Json]:
    """Leave out most positions."""
    found, positions = [], 0
    for body in day:
        positions += body["type"] == POSITION
        if body["type"] != POSITION or positions % EVERY_POSITION == 1:
            found.append(body)
    return found
