"""The runbook of deploy/README.md on real processes, set up as in production, under load: each is
restarted in turn, keys are rotated and revoked, a next version's schema comes, and Postgres is restored
from an older dump. Nothing is lost; until the restore nothing repeats.

Kafka is behind TLS and SCRAM, Postgres behind TLS that is verified, receivers behind TLS. In both servers
the user has the rights that the runbook names, and no others.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from services.dev.kafka import ACLS, EmbeddedKafka, Secured, run_tool
from services.dev.postgres import EmbeddedPostgres
from services.run.probes import kafka_answers, postgres_answers
from tests.e2e.test_restore import accepted, refuses, whole_again
from tests.support import runbook
from tests.support.backup import dump, restore
from tests.support.certificates import Authority
from tests.support.cluster import (
    SECRETS_KEY,
    Cluster,
    Process,
    Receiver,
    a_cluster,
    free_port,
    receiving,
    repeats,
)
from tests.support.commands import planner_webhooks
from tests.support.databases import connected
from tests.support.eventually import eventually
from tests.support.neighbours import widen
from tests.support.tls_proxy import tls_before

DISPATCHERS, RECORDERS = ("d0", "d1", "d2"), ("r0", "r1")
RATE = 30.0
PATHS = ("/ok", "/ordered", "/flaky")
NEW_KEY = base64.b64encode(b"n" * 32).decode()
KEY, PREVIOUS = "WEBHOOKS_SECRETS__KEY", "WEBHOOKS_SECRETS__PREVIOUS_KEYS"

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


@dataclass
class Fleet:
    """The processes by name, and what each is given now."""

    cluster: Cluster
    keys: dict[str, str] = field(default_factory=lambda: {KEY: SECRETS_KEY})
    running: dict[str, Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """Start *name*, and wait until it says that it is ready."""
        role = "record" if name in RECORDERS else "dispatch"
        port = free_port()
        listen = f"127.0.0.1:{port}"
        self.running[name] = await self.cluster.start(
            name, role, WEBHOOKS_OBSERVE__LISTEN=listen, **self.keys
        )
        await eventually(lambda: is_ready(f"http://{listen}"), within=180)

    async def stop(self, name: str) -> None:
        """Stop *name* as Kubernetes does; it ends well."""
        process = self.running.pop(name)
        assert process.process.returncode is None, process.log.read_text()[-4_000:]
        assert await process.terminate(120) == 0, process.log.read_text()[-4_000:]

    async def roll(self, names: Sequence[str]) -> None:
        """Restart each of *names*, the next when the one before is ready."""
        for name in names:
            await self.stop(name)
            await self.start(name)

    async def restart_api(self) -> None:
        """Restart the API on its address, with the keys of now."""
        api = next(p for p in reversed(self.cluster.processes) if p.name == "api")
        assert await api.terminate(120) == 0
        await self.cluster.start("api", role="api", **self.keys)
        await eventually(lambda: is_ready(self.cluster.api), within=180)


async def is_ready(url: str) -> bool:
    async with ClientSession() as session:
        try:
            async with session.get(f"{url}/readyz") as response:
                return response.status == 200
        except OSError:
            return False


async def status(cluster: Cluster, path: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with ClientSession(cluster.api, headers=headers) as session, session.get(path) as answer:
        return answer.status


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    authority = Authority(tmp_path, "authority")
    async with receiving(tls=authority.server()) as receiver:
        receiver.authority = authority  # type: ignore[attr-defined]
        yield receiver


@pytest.fixture
async def fleet(receiver: Receiver, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Kafka, Postgres and the API as in production; no worker runs yet."""
    authority: Authority = receiver.authority  # type: ignore[attr-defined]
    secured = Secured(authority.pem(), "webhooks", "of-kafka")
    kafka = EmbeddedKafka(tmp_path / "kafka", probe=kafka_answers, secured=secured)
    postgres = EmbeddedPostgres(tmp_path / "postgres", probe=postgres_answers)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(kafka.kill)
        stack.push_async_callback(postgres.kill)
        await asyncio.gather(kafka.start(), postgres.start())
        await asyncio.to_thread(allowed_by_kafka, kafka.bootstrap_servers)
        owned = await allowed_by_postgres(postgres)
        behind = await stack.enter_async_context(tls_before(owned, authority.server()))
        settings = {
            "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": kafka.secured_servers,
            "WEBHOOKS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "WEBHOOKS_KAFKA__SASL_USERNAME": secured.username,
            "WEBHOOKS_KAFKA__SASL_PASSWORD": secured.password,
            "WEBHOOKS_KAFKA__SSL_CAFILE": str(authority.file),
            "WEBHOOKS_POSTGRES__DSN": f"{behind}?sslmode=verify-full&sslrootcert={authority.file}",
            "WEBHOOKS_DELIVER__CA_FILE": str(authority.file),
            "WEBHOOKS_DELIVER__ALLOW_HTTP": "false",
        }
        await migrated(settings)
        cluster = await stack.enter_async_context(
            a_cluster(
                kafka.bootstrap_servers,
                postgres.dsn("webhooks"),
                tmp_path,
                settings=settings,
                alone=True,
            )
        )
        yield Fleet(cluster)


def allowed_by_kafka(bootstrap_servers: str) -> None:
    """Let the user do what the runbook says that it has to, and nothing else."""
    there = {"kafka-1.example:9093": bootstrap_servers}
    for call in runbook.calls("kafka-acls"):
        arguments = [there.get(each, each) for each in call]
        at = arguments.index("--command-config")  # who asks by the other way may do all
        done = run_tool(ACLS, *arguments[:at], *arguments[at + 2 :])
        assert done.returncode == 0, done.stdout + done.stderr


async def allowed_by_postgres(postgres: EmbeddedPostgres) -> str:
    """Make the user and the database of the runbook; return the address."""
    (sql,) = runbook.blocks("sql")
    async with connected(postgres.dsn()) as connection:
        for statement in sql.replace("…", "of-postgres").strip().removesuffix(";").split(";"):
            await connection.execute(statement)
    at = urlsplit(postgres.dsn("webhooks"))
    return at._replace(netloc=f"webhooks:of-postgres@{at.hostname}:{at.port}").geturl()


async def migrated(settings: dict[str, str]) -> None:
    """Take the migration's step as the chart does, through TLS."""
    nobody = Cluster("", "", "", Path(), {"PATH": "", **settings})
    code, out, said = await planner_webhooks("migrate", environment=nobody.environment)
    assert code == 0, said
    assert "0001_initial" in out


async def rotate_encryption_key(fleet: Fleet) -> None:
    """As the runbook says: all can read the new one, then all write it, then the rows, then it alone."""
    for keys in (
        {KEY: SECRETS_KEY, PREVIOUS: NEW_KEY},
        {KEY: NEW_KEY, PREVIOUS: SECRETS_KEY},
    ):
        fleet.keys = keys
        await fleet.roll(DISPATCHERS)
        await fleet.restart_api()
    code, _, said = await planner_webhooks(
        "rotate-secrets-key", environment={**fleet.cluster.environment, **fleet.keys}
    )
    assert code == 0, said
    fleet.keys = {KEY: NEW_KEY}
    await fleet.roll(DISPATCHERS)
    await fleet.restart_api()


async def revoke_a_key(cluster: Cluster) -> None:
    """A key that was good a moment ago isn't any more, and others are."""
    keys = f"/v1/projects/{cluster.project}/api-keys"
    lost, kept = [
        await cluster.call("POST", keys, {"name": name, "scopes": ["read"]})
        for name in ("lost", "kept")
    ]
    assert await status(cluster, "/v1/subscriptions", lost["key"]) == 200
    await cluster.call("DELETE", f"{keys}/{lost['id']}")
    assert await status(cluster, "/v1/subscriptions", lost["key"]) == 401
    assert await status(cluster, "/v1/subscriptions", kept["key"]) == 200


async def history_is_whole(cluster: Cluster, receiver: Receiver) -> None:
    """Each request that a receiver saw is an attempt, once, whatever was restarted.

    On a busy machine one may run out of time before it gets there: only then was it not seen.
    """

    async def is_there() -> bool:
        counted = "select count(*), count(distinct (at, tail)), count(status) from attempts"
        (row,) = await cluster.fetch(counted)
        tried, different, answered = row
        return tried == different and answered <= len(receiver.seen) <= tried

    await eventually(is_there, within=120)


async def test_the_runbook_loses_nothing_and_repeats_nothing(
    fleet: Fleet, receiver: Receiver, tmp_path: Path
) -> None:
    cluster = fleet.cluster
    broken = [False]
    taken = accepted(receiver, broken)
    await cluster.subscribe(f"{receiver.url}/ok")
    await cluster.subscribe(f"{receiver.url}/ordered", ordered="key")
    await cluster.subscribe(f"{receiver.url}/flaky", retry_schedule=[3600])
    await asyncio.gather(*(fleet.start(name) for name in (*DISPATCHERS, *RECORDERS)))
    load = asyncio.create_task(cluster.produce_until_stopped(rate=RATE))

    await widen(cluster.dsn)  # an upgrade's migration; all that follows runs on it
    await fleet.roll(RECORDERS)
    await rotate_encryption_key(fleet)  # restarts the dispatchers and the API three times
    await revoke_a_key(cluster)
    cluster.stop_producing()
    await load
    for path in PATHS:
        await eventually(lambda path=path: all_received(cluster, receiver, path), within=300)
    assert {path: twice(receiver, path) for path in PATHS} == {path: [] for path in PATHS}
    await history_is_whole(cluster, receiver)

    await dump(cluster.dsn, tmp_path / "older")
    broken[0] = True
    since = set(await cluster.produce(60))
    await eventually(lambda: receiver.ids("/flaky").keys() >= since, within=60)
    await cluster.all_committed()
    for name in list(fleet.running):
        await fleet.stop(name)
    api = next(p for p in reversed(cluster.processes) if p.name == "api")
    assert await api.terminate(120) == 0
    await restore(cluster.dsn, tmp_path / "older")
    cluster.environment |= fleet.keys
    command = await refuses(cluster, "d0")
    await whole_again(cluster, command)
    broken[0] = False
    await cluster.start("api", role="api")
    await asyncio.gather(*(fleet.start(name) for name in (*DISPATCHERS, *RECORDERS)))
    await eventually(lambda: taken >= cluster.produced.keys(), within=120)
    await eventually(lambda: is_ready(cluster.api), within=60)
    await history_is_whole(cluster, receiver)


def twice(receiver: Receiver, path: str) -> list[tuple[str, str, int, str]]:
    """Return the requests whose events came more than once, and when."""
    again = repeats(receiver.ids(path))
    return [
        (
            datetime.fromtimestamp(seen.at, UTC).isoformat(),
            seen.headers["planner-sequence"],
            seen.attempt,
            seen.headers.get("planner-retry-reason", ""),
        )
        for seen in receiver.seen
        if seen.path == path and seen.id in again
    ]


def all_received(cluster: Cluster, receiver: Receiver, path: str) -> bool:
    return receiver.ids(path).keys() >= cluster.produced.keys()
