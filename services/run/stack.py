"""What benchmarks run on: an embedded Kafka and Postgres, the tables, an API and a project of its own."""

import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from services.broker.producer import KafkaProducer
from services.broker.topics import Topic, create_missing
from services.dev.folder import free_ports
from services.dev.kafka import EmbeddedKafka
from services.dev.postgres import EmbeddedPostgres
from services.dev.process import Child
from services.dev.role import Role, command
from services.run import parts
from services.run.migrate import main as migrate
from services.run.probes import kafka_answers, postgres_answers
from services.settings import load

PARTITIONS = 8
MAX_RECORD_BYTES = 1 << 20
Call = Callable[[str, str, object], Awaitable[Mapping[str, Any]]]
"""Calls the API: verb, path and body in, the answer out."""


class Stack:
    """Servers that can be stopped and killed, and children on them. All end with it.

    *call_as* makes a client of the API from its address and a key; *own* are settings of the run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        call_as: Callable[[str, str], Call],
        own: Mapping[str, str],
        fast_start: bool = False,
    ) -> None:
        self.folder = folder
        self.kafka = EmbeddedKafka(folder / "kafka", probe=kafka_answers, fast_start=fast_start)
        self.postgres = EmbeddedPostgres(folder / "postgres", probe=postgres_answers)
        self.environment: dict[str, str] = {}
        self._own = own
        self._call_as = call_as
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for server in (self.kafka, self.postgres):
                self._exit.push_async_callback(server.stop)
                await server.start()
            (port,) = free_ports(1)
            self.environment = self._environment(port)
            await self._start(f"127.0.0.1:{port}")
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exit.aclose()

    async def _start(self, at: str) -> None:
        os.environ.update(self.environment)  # what `load` reads is what the roles get
        self.settings = load()
        await migrate(self.settings, check=False)
        self.connection = parts.connection(self.settings)
        self.producer = KafkaProducer(connection=self.connection, max_record_bytes=MAX_RECORD_BYTES)
        await self.producer.start()
        self._exit.push_async_callback(self.producer.stop)
        self.api = Role("api", environment=self.environment, log=self.folder / "api.log", health=at)
        await self.api.start()
        self._exit.push_async_callback(self.api.stop)
        self.call = self._call_as(f"http://{at}", self.environment["WEBHOOKS_API__ADMIN_KEY"])
        self.project = str((await self.call("POST", "/v1/projects", {"name": "bench"}))["id"])

    @property
    def servers(self) -> tuple[int, int]:
        """The processes of Kafka and Postgres."""
        return self.kafka.child.pid, self.postgres.child.pid

    async def topic(self, name: str) -> None:
        """Make a topic, where it is missing."""
        await create_missing(self.connection, [Topic(name, PARTITIONS, 1)], replication_factor=1)

    async def start(self, *arguments: str, log: str, **own: str) -> Child:
        """Start a command of ours with the run's settings and its *own*."""
        return await Child.start(
            [*command(), *arguments],
            log=self.folder / f"{log}.log",
            environment={**self.environment, **own},
        )

    def _environment(self, port: int) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("WEBHOOKS_")}
        return kept | {
            "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "WEBHOOKS_POSTGRES__DSN": self.postgres.dsn(),
            "WEBHOOKS_API__LISTEN": f"127.0.0.1:{port}",
            "WEBHOOKS_API__ADMIN_KEY": "priv_of_this_benchmark_alone",
            "WEBHOOKS_SECRETS__KEY": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
            "WEBHOOKS_DELIVER__ALLOW_NETWORKS": "127.0.0.0/8",
            "WEBHOOKS_DELIVER__ALLOW_HTTP": "true",
            **self._own,
        }
