"""The workers of a chaos run, and what is done to them and to their servers."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from signal import SIGCONT, SIGSTOP, SIGTERM

from services.dev.cpu import highest_bytes
from services.dev.ledger import Disruption, What
from services.dev.process import Child
from services.dev.server import EmbeddedServer
from services.kernel.clock import SystemClock, rfc3339_ms
from services.run.stack import Stack

RESET_BACK_SECONDS = 3.0
RESET_WITHIN_SECONDS = 60.0
CLOCK = SystemClock()
STOP_SECONDS = 45.0
"""A drain, and farewells to a Kafka that is away."""
AWAY_SECONDS = (0.5, 3.0)


class Crew:
    """Dispatchers by name: the same name is the same member of the group."""

    def __init__(self, stack: Stack, names: Sequence[str]) -> None:
        self._stack = stack
        self._children: dict[str, Child] = {}
        self.names = names
        self.highest_bytes = 0
        self.failed: list[str] = []
        """Those that did not stop as they should."""

    async def start(self, name: str) -> None:
        """Start a worker; receivers see its name."""
        self._children[name] = await self._stack.start(
            "dispatch",
            log=name,
            WEBHOOKS_DISPATCH__INSTANCE=name,
            WEBHOOKS_DELIVER__USER_AGENT_URL=name,
        )

    async def kill(self, name: str) -> None:
        """End one as a power cut would."""
        self.look()
        await self._children[name].kill()

    async def stop(self, name: str) -> None:
        """Let one drain and end."""
        self.look()
        code = await self._children[name].stop(seconds=STOP_SECONDS)
        if code not in (0, 128 + SIGTERM, -SIGTERM):  # those: it had begun nothing yet
            self.failed.append(f"{name}, told to stop, ended with {code}")

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        self._children[name].signal(SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._children[name].signal(SIGCONT)

    @property
    def dead(self) -> list[str]:
        """Those that ended by themselves."""
        return [name for name, child in self._children.items() if not child.alive]

    def look(self) -> None:
        """Note how much memory each has taken at most."""
        for child in self._children.values():
            with suppress(OSError, StopIteration, ValueError):
                self.highest_bytes = max(self.highest_bytes, highest_bytes(child.pid))

    async def close(self) -> None:
        """Stop all."""
        for name in self._children:
            self.thaw(name)
        await asyncio.gather(*(self.stop(name) for name in self._children))


class Faults:
    """What can be done; each leaves a `Disruption` and everything running again."""

    def __init__(
        self,
        *,
        stack: Stack,
        crew: Crew,
        chance: random.Random,
        session_seconds: float,
        delivered_until: Callable[[], float],
        say: Callable[[str], None],
    ) -> None:
        self._stack = stack
        self._crew = crew
        self._chance = chance
        self._session = session_seconds
        self._delivered_until = delivered_until
        self._say = say
        self.done: list[Disruption] = []

    def of_workers(self, *, many: bool) -> list[Callable[[], Awaitable[None]]]:
        """Return those that stop or kill workers: one at a time. *many*: slow ones too."""
        slow = [self.lose_a_worker, self.freeze_a_worker] if many else []
        return [self.kill_a_worker, self.freeze_a_worker, self.stop_a_worker, self.reset, *slow]

    def of_servers(self) -> list[Callable[[], Awaitable[None]]]:
        """Return those that take Kafka or Postgres away: beside the others."""
        return [self.kill_kafka, self.kill_postgres]

    async def kill_a_worker(self) -> None:
        """kill -9; the same one is back before it is replaced."""
        await self._kill(self._chance.uniform(0.1, self._session / 3))

    async def lose_a_worker(self) -> None:
        """kill -9; the others take over."""
        await self._kill(self._session + 3.0)

    async def _kill(self, away: float) -> None:
        name = self._chance.choice(self._crew.names)
        began = CLOCK.time()
        await self._crew.kill(name)
        self._note(What.KILL, began, name)
        await asyncio.sleep(away)
        await self._crew.start(name)

    async def freeze_a_worker(self) -> None:
        """SIGSTOP until it is replaced, then SIGCONT."""
        name = self._chance.choice(self._crew.names)
        began = CLOCK.time()
        self._crew.freeze(name)
        await asyncio.sleep(self._session + 2.0)
        self._note(What.FREEZE, began, name)
        self._crew.thaw(name)

    async def stop_a_worker(self) -> None:
        """SIGTERM, and start it again."""
        name = self._chance.choice(self._crew.names)
        began = CLOCK.time()
        await self._crew.stop(name)
        self._note(What.STOP, began, name)
        await self._crew.start(name)

    async def reset(self) -> None:
        """Stop all, move the group back by some seconds of what was delivered, start all."""
        began = CLOCK.time()
        await asyncio.gather(*(self._crew.stop(name) for name in self._crew.names))
        back = min(began, self._delivered_until()) - RESET_BACK_SECONDS
        moment = rfc3339_ms(int(back * 1000))
        async with asyncio.timeout(RESET_WITHIN_SECONDS):
            # Refused while Kafka is away, or hasn't noticed yet that the members are gone.
            while await self._command("reset-offsets", "--to-datetime", moment) != 0:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        self._note(What.RESET, began)
        await asyncio.gather(*(self._crew.start(name) for name in self._crew.names))

    async def kill_kafka(self) -> None:
        """kill -9 of the broker."""
        await self._away(What.KAFKA, self._stack.kafka)

    async def kill_postgres(self) -> None:
        """kill -9 of Postgres."""
        await self._away(What.POSTGRES, self._stack.postgres)

    async def _away(self, what: What, server: EmbeddedServer) -> None:
        began = CLOCK.time()
        await server.kill()
        await asyncio.sleep(self._chance.uniform(*AWAY_SECONDS))
        await server.start()
        self._note(what, began)

    async def _command(self, *arguments: str) -> int:
        child = await self._stack.start(*arguments, log=arguments[0])
        return await child.wait()

    def _note(self, what: What, began: float, worker: str = "") -> None:
        self.done.append(Disruption(what, began, CLOCK.time(), worker))
        self._say(f"{self.done[-1]}")
