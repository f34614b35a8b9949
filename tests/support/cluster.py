"""Real processes on real Kafka and Postgres: dispatchers that can be killed, and what receivers saw."""

import asyncio
import contextlib
import itertools
import os
import signal
import ssl
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import orjson
from aiohttp import ClientError, ClientSession, web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata

from services.dev.folder import free_ports
from services.kernel.lane import Reason
from tests.support.eventually import eventually
from tests.support.forked import Forked

PROJECT = "5e208446c97efa37d4830b01"
SECRETS_KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
AT_HOME = [
    reason.value
    for reason in Reason
    if reason.is_usual or reason in (Reason.PAUSED, Reason.DISABLED)
]
"""Of a lane that stays, and that nobody waits for."""
ADMIN_KEY = "priv_admin_for_tests_only_0123456789abcdef"


@dataclass
class Seen:
    """One request that a receiver got."""

    id: str
    path: str
    attempt: int
    at: float
    headers: Mapping[str, str]
    body: bytes
    shown: str | None = None
    """Who the certificate of the connection is of, where one was asked for."""


Answer: TypeAlias = web.StreamResponse | int


@dataclass
class Receiver:
    """An HTTP server in the test's own process; answers what `answers[path]` says, 200 otherwise."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    answers: dict[str, Callable[[Seen], Answer | Awaitable[Answer]]] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            id=request.headers["webhook-id"],
            path=request.path,
            attempt=int(request.headers["planner-attempt"]),
            at=time.time(),
            headers=dict(request.headers),
            body=await request.read(),
            shown=_shown(request),
        )
        self.seen.append(seen)
        await asyncio.sleep(self.delays.get(request.path, 0.0))
        answer = self.answers.get(request.path, lambda _: 200)(seen)
        if isinstance(answer, Awaitable):
            answer = await answer
        return web.Response(status=answer) if isinstance(answer, int) else answer

    def ids(self, path: str | None = None) -> Counter[str]:
        """Count requests by event id."""
        return Counter(seen.id for seen in self.seen if path in (None, seen.path))


def _shown(request: web.Request) -> str | None:
    certificate = request.get_extra_info("peercert")
    return certificate["subject"][0][0][1] if certificate else None


@asynccontextmanager
async def receiving(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{tail:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class Process:
    """One role in a process of its own."""

    name: str
    process: Forked
    log: Path

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """kill -9, and wait for the end."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def terminate(self, within: float = 30.0) -> int:
        """SIGTERM, and wait for the end; return the exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), within)

    def lines(self) -> list[dict[str, object]]:
        """Return what it logged."""
        found = []
        for line in self.log.read_bytes().splitlines():
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                found.append({"event": "unstructured", "text": line.decode(errors="replace")})
        return found

    def logged(self, event: str) -> int:
        return sum(line.get("event") == event for line in self.lines())

    def times(self, event: str) -> list[float]:
        """Return when the worker said *event*, in Unix seconds."""
        return [
            datetime.fromisoformat(line["timestamp"]).timestamp()
            for line in self.lines()
            if line.get("event") == event
        ]


@dataclass
class Cluster:
    """Dispatchers of one group on topics of their own."""

    bootstrap: str
    dsn: str
    topic: str
    folder: Path
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    produced: dict[str, float] = field(default_factory=dict)
    api: str = ""
    project: str = PROJECT
    _producing: bool = False

    @property
    def quarantine(self) -> str:
        """The topic of what is no event."""
        return self.environment["WEBHOOKS_KAFKA__QUARANTINE_TOPIC"]

    async def start(self, name: str = "w0", role: str = "dispatch", **extra: str) -> Process:
        """Start a process; the same *name* is the same member of the group."""
        log = self.folder / f"{name}-{len(self.processes)}.log"
        environment = {**self.environment, "WEBHOOKS_DISPATCH__INSTANCE": name, **extra}
        process = Forked([role], environment=environment, out=log, err=log)
        started = Process(name, process, log)
        self.processes.append(started)
        return started

    async def stop(self) -> None:
        for process in self.processes:
            await process.kill()

    async def produce(self, count: int, *, rate: float | None = None) -> list[str]:
        """Produce *count* events, evenly at *rate* a second; return their ids."""
        first = len(self.produced)
        await self._produce(itertools.islice(itertools.count(first), count), rate)
        return [f"{n:024x}" for n in range(first, first + count)]

    async def produce_until_stopped(self, *, rate: float) -> None:
        """Produce evenly at *rate* a second, until `stop_producing`."""
        self._producing = True
        await self._produce(
            itertools.takewhile(lambda _: self._producing, itertools.count(len(self.produced))),
            rate,
        )

    def stop_producing(self) -> None:
        self._producing = False

    async def _produce(self, numbers: Iterable[int], rate: float | None) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=120_000,  # it waits as long as Kafka is gone
        )
        await producer.start()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            futures = []
            for done, n in enumerate(numbers):
                if rate:
                    await asyncio.sleep(max(0.0, began + done / rate - loop.time()))
                id_ = f"{n:024x}"
                self.produced[id_] = time.time()
                value = an_event(id_, project=self.project)
                futures.append(await producer.send(self.topic, value, key=a_key(n)))
            await asyncio.gather(*futures)
        finally:
            await producer.stop()

    async def put(self, *records: "Put", partition: int | None = None) -> None:
        """Produce *records* as they are, in their order; all to *partition*, else by key."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap, acks="all", max_request_size=1 << 23
        )
        await producer.start()
        try:
            for put in records:
                await producer.send_and_wait(
                    put.topic or self.topic,
                    put.value,
                    key=put.key,
                    headers=list(put.headers),
                    partition=partition,
                )
        finally:
            await producer.stop()

    async def records(self, topic: str) -> "list[ConsumerRecord[bytes, bytes]]":
        """Read a topic from its beginning to its present end, partition by partition."""
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.bootstrap,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=1 << 23,
        )
        await consumer.start()
        try:
            found = []
            ends = await consumer.end_offsets(consumer.assignment())
            for tp, end in sorted(ends.items()):
                while await consumer.position(tp) < end:
                    found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())
            return found
        finally:
            await consumer.stop()

    async def commits(self, group: str | None = None) -> dict[int, OffsetAndMetadata]:
        """Return a group's offset, with its metadata, of each partition of the events topic.

        Of the dispatchers', where none is named.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(
                group or self.environment["WEBHOOKS_KAFKA__GROUP"]
            )
        finally:
            await admin.close()
        return {tp.partition: at for tp, at in offsets.items() if tp.topic == self.topic}

    async def committed(self) -> int:
        """Return how many records of the events topic the group has committed."""
        return sum(at.offset for at in (await self.commits()).values())

    async def ends(self) -> dict[int, int]:
        """Return where each partition of the events topic ends."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            tps = [TopicPartition(self.topic, number) for number in range(8)]
            return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
        finally:
            await consumer.stop()

    async def all_committed(self) -> None:
        """Wait until the group's offsets are behind everything that was produced."""

        async def done() -> bool:
            return await self.committed() == len(self.produced)

        await eventually(done, within=30)

    async def commits_go_on(self) -> None:
        """Wait until the group's offsets are behind what has been produced by now, under load too."""
        by_now = len(self.produced)

        async def done() -> bool:
            return await self.committed() >= by_now

        await eventually(done, within=60)

    async def fed_live(self, subscription_id: str | None = None) -> None:
        """Wait until new subscriptions, or this one, have caught up, and those that a machine which
        stalls made look slow: until then the group's offsets say nothing. Not for those that are meant
        to be in trouble."""

        async def done() -> bool:
            waiting = (
                "select from starts where subscription_id = coalesce($1, subscription_id)"
                " union all select from lanes"
                " where reason <> all ($2) and subscription_id = coalesce($1, subscription_id)"
            )
            return await self.fetch(waiting, subscription_id, AT_HOME) == []

        await eventually(done, within=90)

    async def pause(self, subscription_id: str) -> None:
        """Pause who is fed live, and produce until a dispatcher has heard of it and holds one back."""
        await self.call("POST", f"/v1/subscriptions/{subscription_id}/pause")
        held = "select from lanes where subscription_id = $1 and reason = 'paused'"

        async def holds() -> bool:
            await self.produce(1)
            return bool(await self.fetch(held, subscription_id))

        await eventually(holds, within=30, every=0.5)
        await self.produce(1)  # the lane may be of one that was in flight, and then got through

    async def call(
        self, method: str, path: str, body: object = None, *, status: int | None = None
    ) -> dict[str, Any]:
        """Call the API as its operator; assert the status, 2xx by default."""
        async with (
            ClientSession(self.api, headers={"Authorization": f"Bearer {ADMIN_KEY}"}) as session,
            session.request(method, path, json=body) as response,
        ):
            text = await response.text()
            if status is None:
                assert response.ok, f"{method} {path}: {response.status} {text}"
            else:
                assert response.status == status, f"{method} {path}: {response.status} {text}"
            return orjson.loads(text) if text else {}

    async def subscribe(self, url: str, **fields: object) -> str:
        """Make a subscription through the API; return its id."""
        return str((await self.subscribed(url, **fields))["id"])

    async def subscribed(self, url: str, **fields: object) -> dict[str, Any]:
        """Make a subscription, of what tests produce and not of what the service says of itself, which
        comes when it comes; return what the API answers, the secret with it."""
        body = {"project_id": self.project, "url": url, "types": ["plan.*"], **fields}
        return await self.call("POST", "/v1/subscriptions", body, status=201)

    async def start_api(self) -> None:
        """Start the API process, and make the project that events belong to."""
        await self.start("api", role="api")
        self.api = f"http://{self.environment['WEBHOOKS_API__LISTEN']}"
        await eventually(self._api_ready, within=30)
        self.project = str((await self.call("POST", "/v1/projects", {"name": "test"}))["id"])

    async def _api_ready(self) -> bool:
        api = self.processes[-1]
        assert api.process.returncode is None, api.log.read_text()
        try:
            async with ClientSession() as session, session.get(f"{self.api}/readyz") as response:
                return response.status == 200
        except ClientError:
            return False

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()


class Put(NamedTuple):
    """A record to produce."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str | None = None
    """None: the events topic."""


def an_event(id_: str, *, type_: str = "plan.created", project: str = PROJECT) -> bytes:
    return orjson.dumps(
        {
            "id": id_,
            "type": type_,
            "created_at": "2026-03-17T09:40:51.000Z",
            "project_id": project,
            "data": {"id": id_, "project_id": project, "status": "planning", "label": "x" * 600},
        }
    )


def a_key(n: int) -> bytes:
    return f"{PROJECT}:{n % 50:024x}".encode()


def repeats(counts: Counter[str]) -> dict[str, int]:
    """Return ids that came more than once, with how often too often."""
    return {id_: count - 1 for id_, count in counts.items() if count > 1}


def by_id(receiver: Receiver, path: str | None = None) -> dict[str, list[Seen]]:
    found = defaultdict(list)
    for seen in receiver.seen:
        if path in (None, seen.path):
            found[seen.id].append(seen)
    return found


async def keep_history(cluster: Cluster) -> None:
    """Give a test's attempts a topic of their own, before anything is started."""
    topic = f"{cluster.topic}.attempts"
    cluster.environment["WEBHOOKS_RECORD__TOPIC"] = topic
    await create_topics(cluster.bootstrap, [topic], partitions=4)


@asynccontextmanager
async def a_cluster(
    kafka: str,
    dsn: str,
    folder: Path,
    *,
    settings: Mapping[str, str] | None = None,
    alone: bool = False,
) -> AsyncIterator[Cluster]:
    """Topics, group and API of one test; all processes are ended after it.

    *settings* are those of its processes; the test itself goes by *kafka* and *dsn*. *alone*: Kafka is
    this test's own, and names are the usual ones.
    """
    name = "webhooks" if alone else f"t{uuid.uuid4().hex[:10]}"
    topic = "planner.events" if alone else f"{name}.events"
    await create_topics(kafka, [topic, f"{name}.quarantine"])
    for shared in ("webhooks.ops", "webhooks.attempts"):
        with contextlib.suppress(TopicAlreadyExistsError):
            await create_topics(kafka, [shared], partitions=1)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("WEBHOOKS_")},
        "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "WEBHOOKS_KAFKA__GROUP": name,
        "WEBHOOKS_KAFKA__TOPICS": topic,
        "WEBHOOKS_KAFKA__QUARANTINE_TOPIC": f"{name}.quarantine",
        "WEBHOOKS_KAFKA__SESSION_TIMEOUT_SECONDS": "8",
        "WEBHOOKS_POSTGRES__DSN": dsn,
        "WEBHOOKS_SECRETS__KEY": SECRETS_KEY,
        "WEBHOOKS_API__ADMIN_KEY": ADMIN_KEY,
        "WEBHOOKS_API__LISTEN": f"127.0.0.1:{free_port()}",
        "WEBHOOKS_DELIVER__ALLOW_NETWORKS": "127.0.0.0/8",
        "WEBHOOKS_DELIVER__ALLOW_HTTP": "true",
        "PYTHONUNBUFFERED": "1",
        **(settings or {}),
    }
    cluster = Cluster(kafka, dsn, topic, folder, environment)
    try:
        await cluster.start_api()
        yield cluster
    finally:
        await cluster.stop()


def free_port() -> int:
    """Return a port that nobody has, and that the system gives nobody who asks for any."""
    (port,) = free_ports(1)
    return port


async def create_topics(kafka: str, names: list[str], *, partitions: int = 8) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
    finally:
        await admin.close()
