"""What a role says when it can't start: what it waits for, then one sentence and an exit code."""

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession

from tests.support.cluster import SECRETS_KEY, free_port
from tests.support.databases import a_database
from tests.support.rows import a_pool, a_project, a_subscription

pytestmark = pytest.mark.timeout(60)

PATIENCE = {"WEBHOOKS_DISPATCH__START_TIMEOUT_SECONDS": "2"}


class Ended(NamedTuple):
    """A role that is over."""

    code: int
    log: str
    """Every line but the last."""
    last: str


async def ended(role: str, environment: Mapping[str, str | None]) -> Ended:
    """Run a role until it ends by itself; None takes a variable away."""
    given = {**os.environ, "WEBHOOKS_SECRETS__KEY": SECRETS_KEY, **PATIENCE, **environment}
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("planner-webhooks")),
        role,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={name: text for name, text in given.items() if text is not None},
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    log, _, last = output.decode().strip().rpartition("\n")
    assert "Traceback" not in log, log
    return Ended(process.returncode or 0, log, last)


async def asked(url: str) -> tuple[int, object]:
    async with ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.json()


@pytest.fixture
def environment(kafka: str, database: str) -> dict[str, str]:
    return {
        "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "WEBHOOKS_POSTGRES__DSN": database,
        "WEBHOOKS_API__LISTEN": "127.0.0.1:0",
    }


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_without_postgres_it_waits_and_then_gives_up(
    environment: dict[str, str], role: str
) -> None:
    dsn = f"postgresql://u:hunter2@127.0.0.1:{free_port()}/x"
    found = await ended(role, {**environment, "WEBHOOKS_POSTGRES__DSN": dsn})
    assert '"what":"Postgres"' in found.log
    assert "gave up waiting for Postgres after 2 s" in found.last
    assert "hunter2" not in found.log + found.last
    assert found.code == 3


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_without_kafka_it_waits_and_then_gives_up(
    environment: dict[str, str], role: str
) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    found = await ended(role, {**environment, "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": nobody})
    assert '"what":"Kafka"' in found.log
    assert "gave up waiting for Kafka after 2 s" in found.last
    assert found.code == 3


@pytest.mark.parametrize(
    ("role", "what"),
    [
        *((role, "Postgres") for role in ("api", "dispatch", "record", "geofence")),
        ("api", "Kafka"),
    ],
)
async def test_while_it_waits_it_is_alive_and_says_for_what_and_ends_at_once_when_told(
    environment: dict[str, str], role: str, what: str
) -> None:
    """A container's first process ignores a signal that it doesn't handle."""
    observe = f"127.0.0.1:{free_port()}"
    gone = {
        "Postgres": {"WEBHOOKS_POSTGRES__DSN": f"postgresql://u@127.0.0.1:{free_port()}/x"},
        "Kafka": {"WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}"},
    }[what]
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("planner-webhooks")),
        role,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "WEBHOOKS_SECRETS__KEY": SECRETS_KEY,
            **environment,
            "WEBHOOKS_OBSERVE__LISTEN": observe,
            **gone,
        },
    )
    try:
        assert process.stderr is not None
        while f'"what":"{what}"'.encode() not in (line := await process.stderr.readline()):
            assert line, "it ended by itself"
        assert await asked(f"http://{observe}/healthz") == (200, {"status": "ok"})
        waits = {"status": "no", "detail": f"waits for {what}"}
        assert await asked(f"http://{observe}/readyz") == (503, waits)
        process.terminate()
        rest = await process.stderr.read()
        assert await process.wait() == 128 + signal.SIGTERM
        assert b"Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_without_tables_it_names_the_command_that_makes_them(
    environment: dict[str, str], embedded_postgres: str, role: str
) -> None:
    async with a_database(embedded_postgres) as empty:
        found = await ended(role, {**environment, "WEBHOOKS_POSTGRES__DSN": empty})
    assert '"what":"tables"' in found.log
    assert "`planner-webhooks migrate` makes the tables" in found.last
    assert found.code == 3


@pytest.mark.parametrize(
    ("wrong", "said"), [("password", "password"), ("database", "does not exist")]
)
async def test_who_is_not_let_in_by_postgres_is_told_why(
    environment: dict[str, str], wrong: str, said: str
) -> None:
    parts = urlsplit(environment["WEBHOOKS_POSTGRES__DSN"])
    dsn = {
        "password": parts._replace(netloc=f"postgres:hunter2@{parts.hostname}:{parts.port}"),
        "database": parts._replace(path="/nowhere"),
    }[wrong].geturl()
    found = await ended("api", {**environment, "WEBHOOKS_POSTGRES__DSN": dsn})
    assert said in found.last
    assert "hunter2" not in found.log + found.last
    assert found.code == 3


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        (
            {"KAFKA__SECURITY_PROTOCOL": "SSL", "KAFKA__SSL_CAFILE": "/nowhere.pem"},
            "WEBHOOKS_KAFKA__SSL_CAFILE",
        ),
        ({"DELIVER__CA_FILE": "/nowhere.pem"}, "WEBHOOKS_DELIVER__CA_FILE"),
        ({"DELIVER__CA_FILE": __file__}, "WEBHOOKS_DELIVER__CA_FILE"),
        (
            {"DELIVER__CLIENT_CERT_FILE": __file__, "DELIVER__CLIENT_KEY_FILE": __file__},
            "__CLIENT_CERT_FILE",
        ),
        ({"DELIVER__SOURCE_ADDRESSES": "192.0.2.7"}, "WEBHOOKS_DELIVER__SOURCE_ADDRESSES"),
        ({"API__ADMIN_KEY": "changeme-changeme"}, "WEBHOOKS_API__ADMIN_KEY"),
    ],
)
async def test_what_settings_name_and_can_not_be_used_is_named(
    environment: dict[str, str], variables: dict[str, str], named: str
) -> None:
    set_ = {f"WEBHOOKS_{name}": text for name, text in variables.items()}
    found = await ended("api", {**environment, **set_})
    assert named in found.last
    assert found.code == 2


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_without_the_key_of_secrets_it_names_the_command_that_makes_one(
    environment: dict[str, str], role: str
) -> None:
    found = await ended(role, {**environment, "WEBHOOKS_SECRETS__KEY": None})
    assert found.last.startswith("WEBHOOKS_SECRETS__KEY: not set")
    assert "`planner-webhooks settings --new-key`" in found.last
    assert found.code == 2


@pytest.mark.parametrize("variable", ["WEBHOOKS_API__LISTEN", "WEBHOOKS_OBSERVE__LISTEN"])
async def test_a_taken_port_is_one_sentence(environment: dict[str, str], variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = await ended("api", {**environment, variable: address})
    assert variable in found.last
    assert address in found.last
    assert found.code == 2


async def test_all_settings_that_cant_be_used_are_named_at_once(
    environment: dict[str, str],
) -> None:
    wrong = {"WEBHOOKS_API__LISTEN": "here", "WEBHOOKS_RETRY__POLL_SECONDS": "often"}
    found = await ended("dispatch", {**environment, **wrong})
    assert found.log.startswith("WEBHOOKS_API__LISTEN: ")
    assert found.last.startswith("WEBHOOKS_RETRY__POLL_SECONDS: ")
    assert found.code == 2


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_a_key_that_cant_read_the_stored_secrets_is_refused(
    environment: dict[str, str], database: str, role: str
) -> None:
    async with a_pool(database) as pool:
        await a_project(pool)
        await a_subscription(pool)
    assert (await ended("migrate", environment)).code == 0  # topics: a dispatcher waits for them
    other = base64.b64encode(b"o" * 32).decode()
    found = await ended(role, {**environment, "WEBHOOKS_SECRETS__KEY": other})
    assert "put that one into WEBHOOKS_SECRETS__PREVIOUS_KEYS" in found.last
    assert "partition" not in found.log, "it was a member of nothing"
    assert found.code == 2
