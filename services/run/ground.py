"""The ground of the figures: a stack, sinks, topics to fill, dispatchers, many subscriptions."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from services.dev.cpu import cpu_seconds
from services.dev.folder import free_ports
from services.dev.process import Child, ServerError
from services.dev.sink import event_id
from services.kernel.clock import SystemClock, rfc3339
from services.run import parts
from services.run.bench import get, listens
from services.run.stack import Call, Stack
from services.store.pool import Pool

POLL_SECONDS = 0.02
WITHIN_SECONDS = 180.0
CHUNK = 1_000
KEYS = 1_000
LABEL_BYTES = 600


class Mark(NamedTuple):
    """How far something was, when, and at what cost. Seconds."""

    done: float
    at: float
    cpu: float

    def since(self, before: "Mark") -> tuple[float, float]:
        """Return per second and per CPU second since *before*."""
        done = self.done - before.done
        return done / (self.at - before.at), done / max(self.cpu - before.cpu, 0.01)


class Worker:
    """A dispatcher that tells its metrics."""

    def __init__(self, child: Child, port: int) -> None:
        self._child = child
        self._url = f"http://127.0.0.1:{port}/metrics"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    async def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels; 0 while nobody answers."""
        text = await asyncio.to_thread(self._fetch)
        lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def reads(self) -> float:
        """Return how many records the feed has read."""
        return await self.metric("webhooks_records_total")

    async def scans(self) -> float:
        """Return how many records lanes have read."""
        return await self.metric("webhooks_records_scanned_total")

    async def mark(self, done: float) -> Mark:
        """Return *done* with time and CPU."""
        return Mark(done, asyncio.get_running_loop().time(), cpu_seconds([self.pid]))

    def _fetch(self) -> str:
        try:
            with urllib.request.urlopen(self._url, timeout=5) as answer:  # noqa: S310 - our own
                return str(answer.read().decode())
        except OSError:
            return ""

    def check(self) -> None:
        """Raise ServerError where it has ended."""
        if not self._child.alive:
            raise ServerError(f"the dispatcher ended: {self._child.last_words()}")


class Ground:
    """All of it; topics are those of the run, made with the tables."""

    def __init__(
        self, folder: Path, *, topics: Sequence[str], call_as: Callable[[str, str], Call]
    ) -> None:
        own = {"WEBHOOKS_KAFKA__TOPICS": ",".join(topics), "WEBHOOKS_RECORD__ENABLED": "false"}
        self.stack = Stack(folder, call_as=call_as, own=own)
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self.stack)
        self.sink = await self.server("sink")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def server(self, name: str, *options: str) -> str:
        """Start a receiver of ours; return its URL."""
        (port,) = free_ports(1)
        listen = f"127.0.0.1:{port}"
        child = await self.stack.start("bench", name, "--listen", listen, *options, log=name)
        self._exit.push_async_callback(child.stop, seconds=5)
        while not await listens(port):  # noqa: ASYNC110 - another process
            await asyncio.sleep(POLL_SECONDS)
        return f"http://{listen}"

    @asynccontextmanager
    async def worker(self, *topics: str, group: str, **own: str) -> AsyncIterator[Worker]:
        """Run a dispatcher on these topics."""
        (port,) = free_ports(1)
        child = await self.stack.start(
            "dispatch",
            log="dispatch",
            WEBHOOKS_KAFKA__TOPICS=",".join(topics),
            WEBHOOKS_KAFKA__GROUP=group,
            WEBHOOKS_OBSERVE__LISTEN=f"127.0.0.1:{port}",
            **own,
        )
        try:
            yield Worker(child, port)
        finally:
            await child.stop(seconds=15)

    async def fill(
        self,
        topic: str,
        count: int,
        *,
        type_of: Callable[[int], str],
        projects: Sequence[str] = (),
    ) -> None:
        """Write events as fast as Kafka takes them, of *projects* in turns."""
        owners = projects or [self.stack.project]
        for first in range(0, count, CHUNK):
            await asyncio.gather(
                *(
                    self.produce(topic, n, type_=type_of(n), project=owners[n % len(owners)])
                    for n in range(first, min(first + CHUNK, count))
                )
            )

    async def produce(
        self, topic: str, number: int, *, type_: str, project: str | None = None
    ) -> None:
        """Write one event."""
        owner = project or self.stack.project
        event = {
            "id": event_id(number),
            "type": type_,
            "created_at": rfc3339(SystemClock().now()),
            "project_id": owner,
            "data": {
                "id": f"{number:024x}",
                "project_id": owner,
                "status": "planning",
                "label": "x" * LABEL_BYTES,
            },
        }
        key = f"{owner}:{number % KEYS:024x}".encode()
        await self.stack.producer.produce(topic, key=key, value=orjson.dumps(event))

    async def subscribe(self, url: str, *types: str, **fields: object) -> str:
        """Make a subscription; return its id."""
        body = {"project_id": self.stack.project, "url": url, "types": list(types), **fields}
        return str((await self.stack.call("POST", "/v1/subscriptions", body))["id"])

    async def unsubscribe(self, id_: str) -> None:
        """Delete one."""
        await self.stack.call("DELETE", f"/v1/subscriptions/{id_}", None)

    async def copies(
        self, id_: str, count: int, *, url: str, projects: int = 1, named: str = "b"
    ) -> None:
        """Make *count* more of a subscription, at *url* and a number, in so many other projects.

        The ids of those projects begin with *named*, a hex digit: the same for who shares them.
        Without the API, for which they would be too many; their secrets are sealed as it does it.
        """
        cipher = parts.cipher(self.stack.settings)
        now = SystemClock().now()
        async with self._postgres() as connection:
            await connection.execute(COPIES, id_, count, url, projects, named)
            secrets = []
            for row in await connection.fetch(COPIED, id_):
                secret = row["id"][::-1]
                sealed = cipher.encrypt(os.urandom(32), context=secret)
                secrets.append(
                    (secret, row["id"], "v1", sealed.key_id, sealed.ciphertext, None, now, None)
                )
            await connection.copy_records_to_table("secrets", records=secrets)

    async def projects_of(self, id_: str) -> list[str]:
        """Return the projects that copies of a subscription are in."""
        async with self._postgres() as connection:
            return sorted({row["project_id"] for row in await connection.fetch(COPIED, id_)})

    async def until_attached(self, worker: Worker) -> None:
        """Wait until every subscription is fed live."""

        async def attached() -> float:
            return -await self.detached()

        await self.until(0, attached, worker)

    async def detached(self) -> int:
        """Return how many subscriptions have a lane."""
        async with self._postgres() as connection:
            return int(await connection.fetchval(DETACHED))

    @asynccontextmanager
    async def _postgres(self) -> AsyncIterator[Any]:
        pool = Pool(dsn=self.stack.postgres.dsn(), size=1, seconds=120.0)
        await pool.open()
        try:
            async with pool.connection() as connection:
                yield connection
        finally:
            await pool.close()

    async def received(self, sink: str) -> int:
        """Return how many requests *sink* has had since `forget`."""
        return int(await get(sink, "/count"))

    async def forget(self, sink: str) -> None:
        """Have *sink* begin anew."""
        await get(sink, "/reset")

    async def until(
        self, count: float, what: Callable[[], Awaitable[float]], worker: Worker
    ) -> Mark:
        """Wait until *what* has come to *count*. Raises ServerError where it doesn't."""
        loop = asyncio.get_running_loop()
        late = loop.time() + WITHIN_SECONDS
        while (found := await what()) < count:
            worker.check()
            if loop.time() > late:
                raise ServerError(f"{found} of {count} after {WITHIN_SECONDS:.0f} s")
            await asyncio.sleep(POLL_SECONDS)
        return await worker.mark(found)


COPIES = """
with made as (
    insert into projects (id, name, created_at, updated_at, max_subscriptions)
    select lpad(to_hex(n), 24, $5::text), 'bench ' || n, now(), now(), 1000000
    from generate_series(1, $4::int) as n where $4 > 1
    on conflict do nothing
)
insert into subscriptions
select (jsonb_populate_record(s, jsonb_build_object(
    'id', lpad(to_hex(n), 8, '0') || right(s.id, 16),
    'url', $3::text || '/' || n,
    'description', 'copy of ' || s.id,
    'project_id',
    case when $4 = 1 then s.project_id else lpad(to_hex(n % $4 + 1), 24, $5::text) end
))).*
from subscriptions s, generate_series(1, $2::int) as n where s.id = $1
"""
COPIED = "select id, project_id from subscriptions where description = 'copy of ' || $1::text"
DETACHED = "select count(distinct subscription_id) from lanes"
