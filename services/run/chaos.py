"""`bench chaos`: whole processes, everything that can happen to them, and what came of it.

    load   |— baseline —|— bad times —|— chaos ——————————————————|— good times —|  then all must be there
    farm     all well      a tenth hangs, others fail, flap, reset …  all well again
    faults                               workers, Kafka and Postgres in two tracks

Both tracks take their faults in an order that the seed gives, each at least once, as long as there is
time; so a worker may be frozen while Kafka is away. The farm's book is read as it grows. In the end each
event that is due to a receiver was acknowledged, or Postgres says why not.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from services.dev.chaos_report import Report
from services.dev.farm import Entry, set_times
from services.dev.folder import free_ports
from services.dev.ledger import Cause, Ends, Ledger, Receiver
from services.dev.process import ServerError
from services.kernel.clock import SystemClock
from services.run.chaos_crew import Crew, Faults
from services.run.chaos_load import KEYS, TYPES, Load, Log
from services.run.chaos_store import Books, looking
from services.run.stack import Call, Stack

CLOCK = SystemClock()
TOPIC = "chaos"
WORKERS = ("ada", "bob", "cleo")
SESSION_SECONDS = 5
LOOK_SECONDS = 1.0
POLL_SECONDS = 0.1
READY_SECONDS = 60.0
SETTLE_SECONDS = 0.5
MANY_FAULTS_FROM = 2.0
"""Minutes from which on the slow faults are among them."""
PHASES = (("baseline", 0.12), ("bad times", 0.12), ("chaos", 0.56), ("good times", 0.2))
"""Of the time of the load."""
RETRIES = [1, 1, 2, 2, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]
EACH = {"mode": "each"}
BATCHES = {"mode": "batch", "max_events": 20, "max_wait_ms": 500}
FAST = 7
HANG_SECONDS = 2.0


def a_farm() -> list[Receiver]:
    """Return the subscriptions that a run begins with: a tenth hangs in bad times."""
    kinds: list[tuple[str, bool]] = [("fast", False)] * FAST + [("fast", True), ("slow", True)]
    kinds += [("slow", False), ("stumbling", True), ("stumbling", True), ("poisoned", False)]
    kinds += [("sluggish", False), ("hanging", False), ("hanging", True), ("failing", False)]
    kinds += [
        ("flapping", True),
        ("batched", False),
        ("limiting", False),
        ("resetting", False),
        ("leaving", False),
    ]
    return [
        Receiver(
            slot,
            personality,
            ordered=ordered,
            timeout=HANG_SECONDS if personality == "hanging" else 3.0,
            wants=_is_route if personality == "sluggish" else lambda _: True,
        )
        for slot, (personality, ordered) in enumerate(kinds)
    ]


def _is_route(number: int) -> bool:
    return TYPES[number % len(TYPES)] == "route.created"


class Chaos:
    """One run."""

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float,
        seed: int,
        rate: float,
        drain_seconds: float,
        call_as: Callable[[str, str], Call],
        say: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._minutes = minutes
        self._rate = rate
        self._drain_seconds = drain_seconds
        self._say = say
        self._chance = random.Random(seed)  # noqa: S311 - to be run again as it was
        self._receivers = a_farm()
        self._ledger = Ledger(self._receivers)
        self._book = folder / "book"
        self._phases: dict[str, tuple[float, float]] = {}
        own = {
            "WEBHOOKS_KAFKA__TOPICS": TOPIC,
            "WEBHOOKS_KAFKA__GROUP": TOPIC,
            "WEBHOOKS_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "WEBHOOKS_DISPATCH__START_TIMEOUT_SECONDS": "120",
        }
        self._stack = Stack(folder, call_as=call_as, own=own, fast_start=True)

    async def run(self) -> Report:
        """Run it, and return what it came to. Raises ServerError where something doesn't start."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._book.touch()
        async with AsyncExitStack() as exit_:
            stack = await exit_.enter_async_context(self._stack)
            await stack.topic(TOPIC)
            self._crew = Crew(stack, WORKERS)
            self._load = Load(stack, TOPIC, rate=self._rate)
            self._faults = Faults(
                stack=stack,
                crew=self._crew,
                chance=self._chance,
                session_seconds=SESSION_SECONDS,
                delivered_until=self._delivered_until,
                say=self._say,
            )
            books = await exit_.enter_async_context(Books(stack.postgres.dsn(), TOPIC))
            await self._open_farm(exit_)
            for receiver in self._receivers:
                await self._subscribe(receiver)
            exit_.push_async_callback(self._crew.close)
            await asyncio.gather(*map(self._crew.start, WORKERS))
            async with asyncio.TaskGroup() as group:
                watching = [
                    group.create_task(self._read_book()),
                    group.create_task(self._watch_memory()),
                    group.create_task(looking(books, every=LOOK_SECONDS)),
                ]
                loading = group.create_task(self._load.run())
                await self._go_through_it()
                self._load.stop()
                await loading
                log = await self._load.read_back()
                ends = await self._until_all_is_there(books, log)
                for task in watching:
                    task.cancel()
            return self._report(log, ends, books)

    # The farm and its subscriptions.

    async def _open_farm(self, exit_: AsyncExitStack) -> None:
        (port,) = free_ports(1)
        listen = f"127.0.0.1:{port}"
        self._farm = f"http://{listen}"
        argv = ("bench", "farm", "--listen", listen, "--book", str(self._book))
        farm = await self._stack.start(*argv, log="farm")
        exit_.push_async_callback(farm.stop, seconds=5)
        async with asyncio.timeout(READY_SECONDS):
            while not await set_times(self._farm, "good"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(POLL_SECONDS)

    async def _subscribe(self, receiver: Receiver) -> None:
        wanted = ["route.created"] if receiver.personality == "sluggish" else sorted({*TYPES})
        made = await self._stack.call("POST", "/v1/subscriptions", {
            "project_id": self._stack.project,
            "url": f"{self._farm}/{receiver.slot}/{receiver.personality}",
            "types": wanted,
            "ordered": "key" if receiver.ordered else "none",
            "timeout_seconds": receiver.timeout,
            "delivery": BATCHES if receiver.personality == "batched" else EACH,
            "retry_schedule": [1] if receiver.personality == "poisoned" else RETRIES,
        })  # fmt: skip
        receiver.id, receiver.first = str(made["id"]), self._load.count

    # The story.

    async def _go_through_it(self) -> None:
        await self._until_all_have(KEYS)
        await self._until_it_flows()
        for name, part in PHASES:
            seconds = part * self._minutes * 60
            self._say(f"{name}, {seconds:.0f} s")
            began = CLOCK.time()
            await self._enter(name)
            if name == "chaos":
                await self._chaos(until=began + seconds)
            else:
                await asyncio.sleep(seconds)
            self._phases[name] = began, CLOCK.time()

    async def _enter(self, phase: str) -> None:
        if phase == "bad times":
            await set_times(self._farm, "bad")
            newcomer = Receiver(len(self._receivers), "fast")
            self._receivers.append(newcomer)
            self._ledger.add(newcomer)
            await self._subscribe(newcomer)
        elif phase == "good times":
            await set_times(self._farm, "good")

    async def _chaos(self, *, until: float) -> None:
        many = self._minutes >= MANY_FAULTS_FROM
        async with asyncio.TaskGroup() as group:
            for faults in (self._faults.of_workers(many=many), self._faults.of_servers()):
                group.create_task(self._track(faults, until=until))

    async def _track(self, faults: list[Callable[[], Awaitable[None]]], *, until: float) -> None:
        while True:
            for fault in self._chance.sample(faults, len(faults)):
                await fault()
                await self._until_it_flows()
            if CLOCK.time() >= until:
                return

    async def _until_it_flows(self) -> None:
        """Wait until a receiver that answers has what is produced now."""
        now, until = self._load.count, CLOCK.time() + READY_SECONDS
        while CLOCK.time() < until:
            await asyncio.sleep(SETTLE_SECONDS)
            if any(number >= now for number in list(self._ledger.acks[0])[-KEYS:]):
                return
        raise ServerError(f"nothing is delivered any more; logs are in {self._folder}")

    def _delivered_until(self) -> float:
        """Return when the newest event was produced that a receiver which answers has."""
        return self._load.time_of(max(self._ledger.acks[0], default=0))

    async def _until_all_have(self, events: int) -> None:
        """Wait until the first of the farm has the first *events*: everything is up."""
        async with asyncio.timeout(READY_SECONDS):
            while len(self._ledger.acks[0]) < events:
                if self._crew.dead:
                    raise ServerError(f"{self._crew.dead} ended; logs are in {self._folder}")
                await asyncio.sleep(POLL_SECONDS)

    async def _until_all_is_there(self, books: Books, log: Log) -> Ends:
        """Return how everything ended, once nothing is under way or the time is over."""
        until = CLOCK.time() + self._drain_seconds
        while True:
            missing = self._ledger.missing(log.places.keys())
            ends = await books.ends(self._receivers, missing, log.places)
            left = missing - ends.dead - ends.gaps - ends.held
            if not left or CLOCK.time() > until:
                return ends
            self._say(f"{len(left)} under way")
            await asyncio.sleep(LOOK_SECONDS)

    # Beside it.

    async def _read_book(self) -> None:
        with self._book.open(encoding="ascii") as book:
            half = ""
            while True:
                for line in book:
                    half += line
                    if half.endswith("\n"):
                        self._ledger.take(Entry.of(half))
                        half = ""
                await asyncio.sleep(POLL_SECONDS)

    async def _watch_memory(self) -> None:
        while True:
            self._crew.look()
            await asyncio.sleep(LOOK_SECONDS)

    # The end of it.

    def _report(self, log: Log, ends: Ends, books: Books) -> Report:
        ids = {receiver.slot: receiver.id for receiver in self._receivers}
        due = {
            (receiver.slot, number)
            for receiver, numbers in self._ledger.due(log.places.keys())
            for number in numbers
        }
        missing = self._ledger.missing(log.places.keys())
        causes = [
            (each, self._ledger.cause(each, self._faults.done, in_lane=_lanes_of(books, ids)))
            for each in self._ledger.repeats
        ]
        accounted = ends.dead | ends.gaps | ends.held | ends.waiting
        return Report(
            events=len(log.places),
            due=len(due),
            delivered=len(due) - len(missing),
            ends=ends,
            lost=sorted(missing - accounted),
            repeats=Counter(cause for _, cause in causes),
            unexplained=[each for each, cause in causes if cause is Cause.UNEXPLAINED],
            violations=self._ledger.violations(log.in_order, ends),
            latencies=self._latencies(log),
            taken_over=self._taken_over(log),
            highest_bytes=self._crew.highest_bytes,
            faults=Counter(each.what.value for each in self._faults.done),
            broken=[*(f"{name} ended by itself" for name in self._crew.dead), *self._crew.failed],
        )

    def _latencies(self, log: Log) -> Mapping[str, Mapping[str, tuple[float, float]]]:
        by_phase = {
            phase: self._ledger.latencies(log.produced, between=between)
            for phase, between in self._phases.items()
        }
        names = dict.fromkeys(receiver.personality for receiver in self._receivers)
        return {
            name: {phase: found[name] for phase, found in by_phase.items() if name in found}
            for name in names
        }

    def _taken_over(self, log: Log) -> Mapping[str, float]:
        partitions = {number: partition for number, (partition, _) in log.places.items()}
        found: dict[str, float] = {}
        for each in self._faults.done:
            seconds = self._ledger.takeovers(partitions, [each])
            found[each.what.value] = max([found.get(each.what.value, 0.0), *seconds])
        return {what: seconds for what, seconds in found.items() if seconds}


def _lanes_of(books: Books, ids: Mapping[int, str]) -> Callable[[int, float], bool]:
    return lambda slot, at: books.had_lane(ids[slot], at)
