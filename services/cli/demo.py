"""`demo receiver|fleet`: the two sides of `planner-webhooks dev`, on their own."""

import asyncio
import json
import os
import random
import signal
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.client import Api, RefusedError, UnreachableError
from services.cli.command import UsageError, command
from services.cli.console import Console
from services.dev.demo import WEBHOOKS, Webhook
from services.dev.fleet import drive
from services.dev.receiver import Receiver
from services.kernel.clock import SystemClock
from services.observe.health import health_app, serving

AGAIN_SECONDS = 1.0
PACE_SECONDS = 0.4

State = Annotated[Path, typer.Option(help="File with the demo's project, key and secrets.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group,
        name="demo",
        help="The two sides of the `dev` demo: a small fleet, and a receiver that verifies.",
        epilog="Example: planner-webhooks demo receiver --listen 127.0.0.1:9000 --state demo.json",
    )
    state = "--state demo.json"
    example = f"planner-webhooks demo receiver --listen 127.0.0.1:9000 {state}"
    command(group, "receiver", example=example)(receiver)
    command(group, "fleet", example=f"planner-webhooks demo fleet {state} --vehicles 5")(fleet)


async def receiver(
    console: Console,
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Address to receive on.")],
    state: State,
) -> None:
    """Register as a receiver, verify each signature, and print one line per delivery."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--listen {listen!r} is not HOST:PORT")
    found = await _registered(console, state, at=f"http://{listen}")
    ours = [(found["webhooks"][each.path], each) for each in WEBHOOKS]
    receiver = Receiver(
        secrets={made["id"]: made["secret"] for made, _ in ours},
        manners={made["id"]: each.answer for made, each in ours},
        clock=SystemClock(),
        say=console.line,
    )
    app = health_app(ready=lambda: None, alive=lambda: None)
    receiver.add_to(app)
    async with serving(app, listen):
        await _stopped()


async def fleet(
    console: Console,
    *,
    state: State,
    vehicles: Annotated[int, typer.Option(min=1, max=50, help="How many vans drive.")] = 2,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same day.")] = None,
) -> None:
    """Send plans, routes, stops, customers and positions to the API."""
    found = _load(state)
    clock = SystemClock()
    start = seed if seed is not None else os.urandom(8)
    chance = random.Random(start)  # noqa: S311 - a demo
    async with Api(url=console.api().url, key=found["key"]) as api:
        for event in drive(vehicles=vehicles, chance=chance, clock=clock):
            await _produced(console, api, event)
            await asyncio.sleep(PACE_SECONDS / vehicles)


async def _produced(console: Console, api: Api, event: dict[str, Any]) -> None:
    """Send *event* until Kafka has it; under its own id, so that a repeat is one."""
    while True:
        try:
            await api.call("POST", "/v1/events", event)
        except (UnreachableError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.status < 500:  # noqa: PLR2004 - ours to mend
                raise
            console.hint(f"the fleet waits: {error}")
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def _load(state: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(state.read_text())
    return found


def _save(state: Path, found: dict[str, Any]) -> None:
    fresh = state.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(found))
    fresh.replace(state)


async def _registered(console: Console, state: Path, *, at: str) -> dict[str, Any]:
    """Return the demo's project, key, and webhooks by path; made at the first start."""
    async with console.api() as api:
        with suppress(OSError, ValueError, KeyError, RefusedError):
            found = _load(state)
            for each in WEBHOOKS:
                id_ = found["webhooks"][each.path]["id"]
                await api.call("PATCH", f"/v1/subscriptions/{id_}", {"url": at + each.path})
            return found
        project = await api.call("POST", "/v1/projects", {"name": "demo"})
        keys = f"/v1/projects/{project['id']}/api-keys"
        key = await api.call("POST", keys, {"name": "demo", "scopes": ["ingest", "manage"]})
        id_ = str(project["id"])
        webhooks = {each.path: await _made(api, id_, each, at=at) for each in WEBHOOKS}
    found = {"project_id": id_, "key": str(key["key"]), "webhooks": webhooks}
    _save(state, found)
    return found


async def _made(api: Api, project: str, webhook: Webhook, *, at: str) -> dict[str, str]:
    body = {
        "project_id": project,
        "url": at + webhook.path,
        "types": webhook.types,
        "description": webhook.description,
        "retry_schedule": webhook.retry_schedule,
    }
    made = await api.call("POST", "/v1/subscriptions", body)
    return {"id": str(made["id"]), "secret": str(made["secret"])}


async def _stopped() -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await stopping.wait()
