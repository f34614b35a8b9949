"""`dev`: everything on this machine."""

import asyncio
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from services.cli.command import INTERRUPTED, NO, command
from services.cli.console import Console
from services.dev.demo import FAULTS
from services.dev.process import ServerError
from services.observe.logging import configure

if TYPE_CHECKING:  # a command loads what it needs: all others start faster
    from services.run.dev import Plan, Running

DATA = Path(".dev")


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "dev", example="planner-webhooks dev --data /tmp/webhooks --dispatchers 2")(dev)


def dev(
    console: Console,
    *,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for data, keys and logs.")
    ] = DATA,
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65_535, help="Port of the API; default: a free one, then always the same."
        ),
    ] = None,
    dispatchers: Annotated[
        int, typer.Option(min=1, max=16, help="How many dispatchers to run.")
    ] = 1,
    demo: Annotated[
        bool,
        typer.Option("--demo/--no-demo", help="With a small fleet and a receiver that verifies."),
    ] = True,
) -> None:
    """Run everything on this machine: Kafka, Postgres, all roles and a demo. Ctrl-C drains and stops."""
    from services.run.dev import Plan, main  # noqa: PLC0415

    plan = Plan(data.absolute(), port, dispatchers, demo, quiet=console.as_json)
    configure(level="error", form="console")

    def announce(running: "Running") -> None:
        if console.as_json:
            shown = running._asdict()
            del shown["demo"]
            print(orjson.dumps(shown).decode(), flush=True)
        else:
            for line in _greeting(plan, running):
                console.line(line)

    try:
        asyncio.run(main(plan, environ=os.environ, announce=announce, say=console.hint))
    except ServerError as error:
        console.error(f"planner-webhooks dev: {error}")
        raise typer.Exit(NO) from error
    except asyncio.CancelledError as error:  # a second Ctrl-C, while it drained
        raise typer.Exit(INTERRUPTED) from error


def _greeting(plan: "Plan", running: "Running") -> list[str]:
    project = running.demo.get("project_id", "$PROJECT")
    receiver = running.demo.get("receiver", "http://127.0.0.1:9000")
    lines = [
        "",
        f"Dashboard {running.api}   (sign in with {running.admin_key})",
        f"API       {running.api}/v1   (its description: {running.api}/openapi.json)",
        f"Kafka     {running.kafka}",
        f"Postgres  {running.postgres}",
        f"Logs      {plan.data / 'logs'}",
        *([f"Demo      {FAULTS}"] if running.demo else []),
        "",
        "A first subscription:",
        "",
    ]
    if not running.demo:
        lines += [
            _curl(running, "/v1/projects", {"name": "first"}),
            "",
            "and, with the id in its answer:",
            "",
        ]
    body: dict[str, object] = {
        "project_id": project,
        "url": f"{receiver}/mine",
        "types": ["stop.report.*"],
    }
    lines += [_curl(running, "/v1/subscriptions", body), ""]
    lines += [
        "From the command line:",
        "",
        f"  export WEBHOOKS_CLI__API={running.api} WEBHOOKS_CLI__KEY={running.admin_key}",
        f"  {_program()} subscriptions list",
        f"  {_program()} trigger stop.report.completed --project {project}",
        "",
        "Ctrl-C drains and stops everything; the data is kept for the next start.",
        "",
    ]
    return lines


def _program() -> str:
    """Return what a shell finds this program by: `make dev` doesn't put .venv/bin on the PATH."""
    name = "planner-webhooks"
    return name if shutil.which(name) else shlex.quote(os.path.relpath(sys.argv[0]))


def _curl(running: "Running", path: str, body: Mapping[str, object]) -> str:
    return (
        f"  curl {running.api}{path} -H 'Authorization: Bearer {running.admin_key}'"
        f" -H 'Content-Type: application/json' -d {shlex.quote(orjson.dumps(body).decode())}"
    )
