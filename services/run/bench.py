"""`bench deliver`: a dispatcher beside a bare loop, in one run, in turns.

Each slice of the dispatcher is a fresh topic of 8 partitions filled before it starts; each slice of
the bare loop posts the same bodies to the same sink. Both are measured alike, from outside: CPU time
and deliveries between the first quarter and the end, so that starting up counts for neither.
"""

import asyncio
import os
import socket
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import orjson

from services.broker.producer import KafkaProducer
from services.broker.topics import Topic, create_missing
from services.dev.cpu import cpu_seconds, family
from services.dev.folder import free_ports
from services.dev.kafka import EmbeddedKafka
from services.dev.postgres import EmbeddedPostgres
from services.dev.process import Child, ServerError
from services.dev.role import Role, command
from services.dev.sink import event_id
from services.kernel.clock import SystemClock, rfc3339
from services.run import parts
from services.run.migrate import main as migrate
from services.run.probes import kafka_answers, postgres_answers
from services.settings import load

BODY_BYTES = 1_000
POLL_SECONDS = 0.05
SLICE_SECONDS = 120.0
PARTITIONS = 8
CHUNK = 500
PROJECT = "5e208446c97efa37d4830b01"
Call = Callable[[str, str, object], Awaitable[Mapping[str, Any]]]
"""Calls the API: verb, path and body in, the answer out."""


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
    """Servers, API and sink, for all slices of a run."""

    def __init__(self, folder: Path, *, events: int, call_as: Callable[[str, str], Call]) -> None:
        self._folder = folder
        self._events = events
        self._call_as = call_as
        self._stack = AsyncExitStack()
        self._environment: dict[str, str] = {}
        self._slices = 0

    async def __aenter__(self) -> Self:
        kafka = EmbeddedKafka(self._folder / "kafka", probe=kafka_answers, fast_start=False)
        postgres = EmbeddedPostgres(self._folder / "postgres", probe=postgres_answers)
        try:
            for server in (kafka, postgres):
                await server.start()
                self._stack.push_async_callback(server.stop)
            self._servers = (kafka.child.pid, postgres.child.pid)
            (port,) = free_ports(1)
            self._environment = _environment(kafka.bootstrap_servers, postgres.dsn(), port)
            await self._start(port)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _start(self, port: int) -> None:
        os.environ.update(self._environment)  # what `load` reads is what the roles get
        settings = load()
        await migrate(settings, check=False)
        self._connection = parts.connection(settings)
        self._producer = KafkaProducer(connection=self._connection, max_record_bytes=1 << 20)
        await self._producer.start()
        self._stack.push_async_callback(self._producer.stop)
        at = f"127.0.0.1:{port}"
        api = Role("api", environment=self._environment, log=self._folder / "api.log", health=at)
        await api.start()
        self._stack.push_async_callback(api.stop)
        self._call = self._call_as(f"http://{at}", self._environment["WEBHOOKS_API__ADMIN_KEY"])
        self._project = str((await self._call("POST", "/v1/projects", {"name": "bench"}))["id"])

    async def case(self, case: Case, *, slices: int, say: Callable[[str], None]) -> Figures:
        """Measure a case: bare loop and dispatcher in turns, then the latency at a low rate."""
        figures = Figures(case)
        sink, url = await self._sink(case.delay)
        try:
            made = await self._call("POST", "/v1/subscriptions", {
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
            await self._call("DELETE", f"/v1/subscriptions/{made['id']}", None)
        finally:
            await sink.stop(seconds=5)
        return figures

    async def history(self, case: Case, *, slices: int, say: Callable[[str], None]) -> float:
        """Return deliveries per CPU second with history on by those with it off, as a median."""
        sink, url = await self._sink(case.delay)
        found = []
        try:
            await self._call("POST", "/v1/subscriptions", {
                "project_id": self._project, "url": url, "types": ["*"],
                "max_in_flight": case.in_flight,
            })  # fmt: skip
            for number in range(slices):
                each = {}
                for enabled in ("true", "false") if number % 2 else ("false", "true"):
                    say(f"history {enabled}: slice {number + 1} of {slices}")
                    self._environment["WEBHOOKS_RECORD__ENABLED"] = enabled
                    each[enabled] = (await self._dispatch(url)).per_cpu_second
                found.append(each["true"] / each["false"])
        finally:
            await sink.stop(seconds=5)
        return statistics.median(found)

    async def _sink(self, delay: float) -> tuple[Child, str]:
        (port,) = free_ports(1)
        argv = ("bench", "sink", "--listen", f"127.0.0.1:{port}", "--delay", str(delay))
        child = await Child.start(
            [*command(), *argv], log=self._folder / "sink.log", environment=self._environment
        )
        while not await _listens(port):
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
        child = await Child.start(
            [*command(), *argv], log=self._folder / "bare.log", environment=self._environment
        )
        try:
            return await self._measured(url, child, servers=())
        finally:
            await child.stop(seconds=5)

    async def _dispatch(self, url: str) -> Slice:
        topic = await self._topic()
        before = cpu_seconds(family_of(self._servers))
        for first in range(0, self._events, CHUNK):
            await asyncio.gather(
                *(self._produce(topic, n) for n in range(first, min(first + CHUNK, self._events)))
            )
        producing = cpu_seconds(family_of(self._servers)) - before
        child = await self._dispatcher(topic)
        try:
            found = await self._measured(url, child, servers=self._servers)
        finally:
            await child.stop(seconds=15)
        written = producing / self._events * 1000
        return found._replace(all_cpu_per_thousand=found.all_cpu_per_thousand + written)

    async def _measured(self, url: str, child: Child, *, servers: tuple[int, ...]) -> Slice:
        """Wait for the end; what counts is from the first quarter on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + SLICE_SECONDS
        await _get(url, "/reset")
        start = None
        while True:
            count = (await _get(url, "/stats"))["count"]
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
                    while (await _get(url, "/stats"))["count"] % self._events < n:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(POLL_SECONDS)
                    await _get(url, "/reset")
                await asyncio.sleep(0.005)
            await asyncio.sleep(1.0)
            found = await _get(url, "/stats")
        finally:
            await child.stop(seconds=15)
        return found["p50_ms"], found["p99_ms"]

    async def _topic(self) -> str:
        self._slices += 1
        name = f"bench.{self._slices}"
        topics = [Topic(name, PARTITIONS, 1)]
        await create_missing(self._connection, topics, replication_factor=1)
        return name

    async def _produce(self, topic: str, number: int) -> None:
        key = f"{self._project}:{number % 1000:024x}".encode()
        await self._producer.produce(topic, key=key, value=an_event(self._project, number))

    async def _dispatcher(self, topic: str) -> Child:
        own = {"WEBHOOKS_KAFKA__TOPICS": topic, "WEBHOOKS_KAFKA__GROUP": topic}
        return await Child.start(
            [*command(), "dispatch"],
            log=self._folder / "dispatch.log",
            environment={**self._environment, **own},
        )


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


def _environment(kafka: str, postgres: str, port: int) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("WEBHOOKS_")}
    most = str(max(case.in_flight for case in CASES))
    return kept | {
        "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "WEBHOOKS_POSTGRES__DSN": postgres,
        "WEBHOOKS_API__LISTEN": f"127.0.0.1:{port}",
        "WEBHOOKS_API__ADMIN_KEY": "priv_of_this_benchmark_alone",
        "WEBHOOKS_SECRETS__KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "WEBHOOKS_DELIVER__ALLOW_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_DELIVER__ALLOW_HTTP": "true",
        "WEBHOOKS_DELIVER__MAX_IN_FLIGHT": most,
        "WEBHOOKS_DELIVER__MAX_IN_FLIGHT_PER_SUBSCRIPTION": most,
    }


async def _get(url: str, path: str) -> Any:  # noqa: ANN401 - JSON
    """Ask the sink; its answer has no header but its length."""
    port = urlsplit(url).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        return orjson.loads(await reader.readexactly(int(head.split(b": ")[1])))
    finally:
        writer.close()


async def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
