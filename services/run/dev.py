"""`planner-webhooks dev`: everything on this machine, each role a child that is restarted.

    data folder   keys.json (admin key, key of the secrets), logs/, kafka/, postgres/, demo.json
    order         Kafka and Postgres, tables and topics, api and dispatchers, receiver and fleet

An outside Kafka or Postgres is used where `WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS` or
`WEBHOOKS_POSTGRES__DSN` is set. Loopback receivers and plain http are allowed here, and only here.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from services.dev.folder import Folder, is_free
from services.dev.kafka import EmbeddedKafka
from services.dev.postgres import EmbeddedPostgres
from services.dev.process import ServerError
from services.dev.role import Role
from services.dev.supervisor import Supervisor
from services.run.migrate import main as migrate
from services.run.probes import kafka_answers, postgres_answers
from services.settings import Settings, load
from services.settings.values import KEY_BYTES

LOOPBACK = "127.0.0.0/8 ::1/128"
KAFKA, POSTGRES = "WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS", "WEBHOOKS_POSTGRES__DSN"


class Plan(NamedTuple):
    """What to run."""

    data: Path
    port: int | None
    """Of the API; None: the one of last time, or a free one."""
    dispatchers: int
    demo: bool
    quiet: bool
    """The demo writes to its logs only."""


class Running(NamedTuple):
    """Where everything is."""

    api: str
    kafka: str
    postgres: str
    admin_key: str
    demo: Mapping[str, str]
    """Project and receiver of the demo; empty without one."""


Announce = Callable[[Running], None]


async def main(
    plan: Plan, *, environ: Mapping[str, str], announce: Announce, say: Callable[[str], None]
) -> None:
    """Run until SIGINT or SIGTERM; a second one ends everything at once. Raises ServerError."""
    stopping = asyncio.Event()
    task = asyncio.current_task()
    started = False

    def stop() -> None:
        if task is not None and (stopping.is_set() or not started):
            task.cancel()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    folder = Folder(plan.data)
    await folder.claim()
    supervisor = Supervisor(say=say)
    try:
        running = await _start(plan, folder, supervisor, environ, say)
        started = True
        announce(running)
        await supervisor.run(stopping.wait())
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
    finally:
        if started:
            say("stopping: requests in flight are finished first")
        await supervisor.stop()
        folder.release()


async def _start(
    plan: Plan,
    folder: Folder,
    supervisor: Supervisor,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> Running:
    logs = plan.data / "logs"
    logs.mkdir(exist_ok=True)
    port = _api_port(plan, folder)
    say(f"starting Kafka and Postgres in {plan.data}")
    kafka, postgres = await _servers(plan, supervisor, environ)
    keys = _keys(plan.data / "keys.json")
    environment = _environment(environ, keys, kafka=kafka, postgres=postgres, port=port)
    settings = _settings(kafka, postgres)
    await migrate(settings, check=False)
    say("starting the API and " + _count(plan.dispatchers, "dispatcher"))
    health = folder.ports("dispatch", plan.dispatchers)
    (recorder,), (geofencer,) = folder.ports("record", 1), folder.ports("geofence", 1)
    await supervisor.start(
        ("api", Role("api", environment=environment, log=logs / "api.log", health=_at(port))),
        ("record", _observed("record", "dev", recorder, environment, logs / "record.log")),
        ("geofence", _observed("geofence", "dev", geofencer, environment, logs / "geofence.log")),
        *(
            (
                f"dispatch {n}",
                _observed("dispatch", f"dev-{n}", at, environment, logs / f"dispatch-{n}.log"),
            )
            for n, at in enumerate(health)
        ),
    )
    demo = await _demo(plan, folder, supervisor, environment) if plan.demo else {}
    return Running(f"http://{_at(port)}", kafka, postgres, keys["admin_key"], demo)


async def _servers(
    plan: Plan, supervisor: Supervisor, environ: Mapping[str, str]
) -> tuple[str, str]:
    """Start the servers that aren't configured; return the addresses."""
    kafka = EmbeddedKafka(plan.data / "kafka", probe=kafka_answers, fast_start=False)
    postgres = EmbeddedPostgres(plan.data / "postgres", probe=postgres_answers)
    outside = (environ.get(KAFKA), environ.get(POSTGRES))
    await supervisor.start(
        *([] if outside[0] else [("kafka", kafka)]),
        *([] if outside[1] else [("postgres", postgres)]),
    )
    return outside[0] or kafka.bootstrap_servers, outside[1] or postgres.dsn()


async def _demo(
    plan: Plan, folder: Folder, supervisor: Supervisor, environment: Mapping[str, str]
) -> Mapping[str, str]:
    (port,) = folder.ports("receiver", 1)
    state = plan.data / "demo.json"
    log = plan.data / "logs" / "demo.log" if plan.quiet else None
    receiver = ("demo", "receiver", "--listen", _at(port), "--state", str(state))
    await supervisor.start(
        ("demo receiver", Role(*receiver, environment=environment, log=log, health=_at(port)))
    )
    fleet = ("demo", "fleet", "--state", str(state))
    await supervisor.start(("demo fleet", Role(*fleet, environment=environment, log=log)))
    project = json.loads(state.read_text())["project_id"]
    return {"project_id": project, "receiver": f"http://{_at(port)}"}


def _observed(
    role: str, instance: str, health: int, environment: Mapping[str, str], log: Path
) -> Role:
    own = {"WEBHOOKS_DISPATCH__INSTANCE": instance, "WEBHOOKS_OBSERVE__LISTEN": _at(health)}
    return Role(role, environment={**environment, **own}, log=log, health=_at(health))


def _environment(
    environ: Mapping[str, str], keys: Mapping[str, str], *, kafka: str, postgres: str, port: int
) -> dict[str, str]:
    """Return the roles' environment: what the person set wins, but for what this run is about."""
    defaults = {
        "WEBHOOKS_DELIVER__ALLOW_NETWORKS": LOOPBACK,
        "WEBHOOKS_DELIVER__ALLOW_HTTP": "true",
        "WEBHOOKS_SECRETS__KEY": keys["secrets_key"],
        "PYTHONUNBUFFERED": "1",
    }
    chosen = {
        KAFKA: kafka,
        POSTGRES: postgres,
        "WEBHOOKS_API__LISTEN": _at(port),
        "WEBHOOKS_API__ADMIN_KEY": keys["admin_key"],
        "WEBHOOKS_CLI__API": f"http://{_at(port)}",
        "WEBHOOKS_CLI__KEY": keys["admin_key"],
    }
    return {**defaults, **environ, **chosen}


def _settings(kafka: str, postgres: str) -> Settings:
    """Return what `migrate` needs: the person's settings, with this run's servers."""
    settings = load()
    return settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"bootstrap_servers": kafka}),
            "postgres": settings.postgres.model_copy(
                update={"dsn": type(settings.postgres.dsn)(postgres)}
            ),
        }
    )


def _keys(file: Path) -> dict[str, str]:
    """Return this folder's keys, made at its first start. Raises ServerError."""
    try:
        found = json.loads(file.read_text())
        return {name: str(found[name]) for name in ("admin_key", "secrets_key")}
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{file} is broken ({error}): without its keys the folder's secrets can't be read;"
            " choose another folder with --data, or remove this one to start afresh"
        ) from error
    keys = {
        "admin_key": "priv_" + secrets.token_urlsafe(24),
        "secrets_key": base64.b64encode(os.urandom(KEY_BYTES)).decode(),
    }
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(keys))
    fresh.replace(file)
    return keys


def _api_port(plan: Plan, folder: Folder) -> int:
    if plan.port is None:
        return folder.ports("api", 1)[0]
    if not is_free(plan.port):
        raise ServerError(f"port {plan.port} is taken: choose another with --port, or leave it out")
    return plan.port


def _at(port: int) -> str:
    return f"127.0.0.1:{port}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
