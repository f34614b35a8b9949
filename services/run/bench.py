"""`bench deliver`: a dispatcher beside a bare loop, in one run, in turns.

Each slice of the dispatcher is a fresh topic of 8 partitions filled before it starts; each slice of
the bare loop posts the same bodies to the same sink. Both are measured alike, from outside: CPU time
and deliveries between the first quarter and the end, so that starting up counts for neither.
"""

import asyncio
import socket
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import orjson

from services.dev.cpu import cpu_seconds, family
from services.dev.folder import free_ports
from services.dev.process import Child, ServerError
from services.dev.sink import event_id
from services.kernel.clock import SystemClock, rfc3339
from services.run.stack import Call, Stack

BODY_BYTES = 1_000
POLL_SECONDS = 0.05
SLICE_SECONDS = 120.0
CHUNK = 500
PROJECT = "5e208446c97efa37d4830b01"


class Case(NamedTuple):
    """How many requests at once, to a receiver that takes how long."""

    in_flight: int
    delay: float


CASES = (Case(64, 0.0), Case(2_000, 0.1))


class Slice(NamedTuple):
    """One measurement."""

    per_cpu_second: float
    per_second: float
    all_cpu_per_thousand: float
    """CPU seconds of dispatcher, Kafka and Postgres per 1,000 deliveries; 0 of a bare loop."""


@dataclass
class Figures:
    """What a case came to."""

    case: Case
    bare: list[Slice] = field(default_factory=list)
    dispatch: list[Slice] = field(default_factory=list)
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @property
    def ratio(self) -> float:
        """Median over pairs of slices: dispatcher by bare loop, deliveries per CPU second."""
        pairs = zip(self.dispatch, self.bare, strict=True)
        return statistics.median(ours.per_cpu_second / bare.per_cpu_second for ours, bare in pairs)

    @property
    def noise(self) -> float:
        """Spread of the bare loop's own slices: (most - least) by median."""
        found = [each.per_cpu_second for each in self.bare]
        return (max(found) - min(found)) / statistics.median(found)


class Bench:
    """Sink and dispatchers on a stack, for all slices of a run."""

    def __init__(self, folder: Path, *, events: int, call_as: Callable[[str, str], Call]) -> None:
        most = str(max(case.in_flight for case in CASES))
        own = {
            "WEBHOOKS_DELIVER__MAX_IN_FLIGHT": most,
            "WEBHOOKS_DELIVER__MAX_IN_FLIGHT_PER_SUBSCRIPTION": most,
        }
        self._stack = Stack(folder, call_as=call_as, own=own)
        self._folder = folder
        self._events = events
        self._slices = 0

    @property
    def stack(self) -> Stack:
        """What it runs on."""
        return self._stack

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        self._project = self._stack.project
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.__aexit__()

    async def case(self, case: Case, *, slices: int, say: Callable[[str], None]) -> Figures:
        """Measure a case: bare loop and dispatcher in turns, then the latency at a low rate."""
        figures = Figures(case)
        sink, url = await self._sink(case.delay)
        try:
            made = await self._stack.call("POST", "/v1/subscriptions", {
                "project_id": self._project, "url": url, "types": ["*"],
                "max_in_flight": case.in_flight,
            })  # fmt: skip
            for number in range(slices):
                say(f"{case.in_flight} in flight: slice {number + 1} of {slices}, bare loop")
                figures.bare.append(await self._bare(case, url))
                say(f"{case.in_flight} in flight: slice {number + 1} of {slices}, dispatcher")
                figures.dispatch.append(await self._dispatch(url))
            say(f"{case.in_flight} in flight: latency at a low rate")
            figures.p50_ms, figures.p99_ms = await self._latency(url)
            await self._stack.call("DELETE", f"/v1/subscriptions/{made['id']}", None)
        finally:
            await sink.stop(seconds=5)
        return figures

    async def history(self, case: Case, *, slices: int, say: Callable[[str], None]) -> float:
        """Return deliveries per CPU second with history on by those with it off, as a median."""
        sink, url = await self._sink(case.delay)
        found = []
        try:
            await self._stack.call("POST", "/v1/subscriptions", {
                "project_id": self._project, "url": url, "types": ["*"],
                "max_in_flight": case.in_flight,
            })  # fmt: skip
            for number in range(slices):
                each = {}
                for enabled in ("true", "false") if number % 2 else ("false", "true"):
                    say(f"history {enabled}: slice {number + 1} of {slices}")
                    self._stack.environment["WEBHOOKS_RECORD__ENABLED"] = enabled
                    each[enabled] = (await self._dispatch(url)).per_cpu_second
                found.append(each["true"] / each["false"])
        finally:
            await sink.stop(seconds=5)
        return statistics.median(found)

    async def _sink(self, delay: float) -> tuple[Child, str]:
        (port,) = free_ports(1)
        argv = ("bench", "sink", "--listen", f"127.0.0.1:{port}", "--delay", str(delay))
        child = await self._stack.start(*argv, log="sink")
        while not await listens(port):
            if not child.alive:
                raise ServerError(f"the sink does not start: {child.last_words()}")
            await asyncio.sleep(POLL_SECONDS)
        return child, f"http://127.0.0.1:{port}/sink"

    async def _bare(self, case: Case, url: str) -> Slice:
        bodies = self._folder / "bodies"
        lines = (an_event(self._project, number) for number in range(self._events))
        bodies.write_bytes(b"\n".join(lines))
        argv = ["bench", "bare", "--url", url, "--bodies", str(bodies)]
        argv += ["--in-flight", str(case.in_flight)]
        child = await self._stack.start(*argv, log="bare")
        try:
            return await self._measured(url, child, servers=())
        finally:
            await child.stop(seconds=5)

    async def _dispatch(self, url: str) -> Slice:
        topic = await self._topic()
        before = cpu_seconds(family_of(self._stack.servers))
        for first in range(0, self._events, CHUNK):
            await asyncio.gather(
                *(self._produce(topic, n) for n in range(first, min(first + CHUNK, self._events)))
            )
        producing = cpu_seconds(family_of(self._stack.servers)) - before
        child = await self._dispatcher(topic)
        try:
            found = await self._measured(url, child, servers=self._stack.servers)
        finally:
            await child.stop(seconds=15)
        written = producing / self._events * 1000
        return found._replace(all_cpu_per_thousand=found.all_cpu_per_thousand + written)

    async def _measured(self, url: str, child: Child, *, servers: tuple[int, ...]) -> Slice:
        """Wait for the end; what counts is from the first quarter on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_SECONDS
        await get(url, "/reset")
        start = None
        while True:
            count = await get(url, "/count")
            now = (count, loop.time(), cpu_seconds([child.pid]), cpu_seconds(family_of(servers)))
            if start is None and count >= self._events / 4:
                start = now
            if count >= self._events:
                break
            if loop.time() > until or (not child.alive and count < self._events):
                raise ServerError(f"{count} of {self._events} arrived: {child.last_words()}")
            await asyncio.sleep(POLL_SECONDS)
        if start is None:
            raise ServerError(f"{self._events} events are too few to measure: take more")
        done, seconds, ours, theirs = (b - a for a, b in zip(start, now, strict=True))
        return Slice(done / ours, done / seconds, (ours + theirs) / done * 1000 if servers else 0)

    async def _latency(self, url: str) -> tuple[float, float]:
        """Produce at a low rate to a running dispatcher; from produce to receipt."""
        topic = await self._topic()
        child = await self._dispatcher(topic)
        try:
            for n in range(self._events // 20):
                await self._produce(topic, n)
                if n == CHUNK // 10:  # it is up once these have arrived
                    while await get(url, "/count") % self._events < n:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(POLL_SECONDS)
                    await get(url, "/reset")
                await asyncio.sleep(0.005)
            await asyncio.sleep(1.0)
            found = await get(url, "/stats")
        finally:
            await child.stop(seconds=15)
        return found["p50_ms"], found["p99_ms"]

    async def _topic(self) -> str:
        self._slices += 1
        name = f"bench.{self._slices}"
        await self._stack.topic(name)
        return name

    async def _produce(self, topic: str, number: int) -> None:
        key = f"{self._project}:{number % 1000:024x}".encode()
        await self._stack.producer.produce(topic, key=key, value=an_event(self._project, number))

    async def _dispatcher(self, topic: str) -> Child:
        own = {"WEBHOOKS_KAFKA__TOPICS": topic, "WEBHOOKS_KAFKA__GROUP": topic}
        return await self._stack.start("dispatch", log="dispatch", **own)


def an_event(project: str, number: int) -> bytes:
    """Return an event of about 1 kB, produced now."""
    event = {
        "id": event_id(number),
        "type": "plan.created",
        "created_at": rfc3339(SystemClock().now()),
        "project_id": project,
        "data": {"id": f"{number:024x}", "project_id": project, "status": "planning", "label": ""},
    }
    event["data"]["label"] = "x" * (BODY_BYTES - len(orjson.dumps(event)))  # type: ignore[index]
    return orjson.dumps(event)


def family_of(pids: tuple[int, ...]) -> list[int]:
    """Return these processes with their children."""
    return [each for pid in pids for each in family(pid)]


async def get(url: str, path: str) -> Any:  # noqa: ANN401 - JSON
    """Ask the sink; its answer has no header but its length."""
    port = urlsplit(url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return orjson.loads(await reader.readexactly(int(head.split(b": ")[1])))
    finally:
        writer.close()


async def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
