"""`replay`: part of the log once more for one subscription, with a progress bar."""

import asyncio
import signal
import sys
from typing import Annotated, Any

import typer
from rich.console import Console as Terminal
from rich.progress import BarColumn, Progress, TextColumn

from services.cli.client import Api
from services.cli.command import AnswerIsNoError, command, given
from services.cli.console import Console
from services.kernel.event import Json

POLL_SECONDS = 0.5
ENDED = ("done", "cancelled", "failed")


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "planner-webhooks replay --subscription 6b06… --from 2026-03-17T09:00:00Z --dry-run"
    command(app, "replay", example=example)(replay)


async def replay(
    console: Console,
    *,
    subscription: Annotated[str, typer.Option(metavar="ID", help="Subscription to send to.")],
    since: Annotated[
        str,
        typer.Option("--from", metavar="TIME", help="First event at or after this time; RFC 3339."),
    ],
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Events before this time; default: now."),
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only these types; repeat for more.")
    ] = None,
    order_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only records with this key.")
    ] = None,
    plan: Annotated[str | None, typer.Option(metavar="ID", help="Only of this plan.")] = None,
    route: Annotated[str | None, typer.Option(metavar="ID", help="Only of this route.")] = None,
    vehicle: Annotated[str | None, typer.Option(metavar="ID", help="Only of this vehicle.")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second, at most.")] = None,
    speed: Annotated[
        float | None, typer.Option(help="In the original rhythm, this many times as fast.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count and estimate; send nothing.")
    ] = False,
) -> None:
    """Send part of the log once more, beside live traffic. Ctrl-C asks whether to cancel it."""
    body = given(
        **{"from": since},
        to=until,
        types=types or None,
        key=order_key,
        plan_id=plan,
        route_id=route,
        vehicle_id=vehicle,
        rate=rate,
        speed=speed,
        dry_run=dry_run or None,
    )
    async with console.api() as api:
        job = await api.call("POST", f"/v1/subscriptions/{subscription}/replays", body)
        if not dry_run:
            console.hint(f"replay {job['id']}")
            job = await _watched(console, api, job)
    console.record(job)
    if not dry_run and job["state"] == "failed":
        raise AnswerIsNoError


async def _watched(console: Console, api: Api, job: Json) -> Json:
    """Show how far it is until it ends, or is left running."""
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    columns = (BarColumn(), TextColumn("{task.description}"))
    terminal = Terminal(stderr=True)
    path = f"/v1/replays/{job['id']}"
    with Progress(*columns, console=terminal, transient=True, disable=not _shows()) as progress:
        task = progress.add_task("", total=job["total"] or 1)
        while job["state"] not in ENDED:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await interrupted.wait()
            except TimeoutError:
                pass
            else:
                progress.stop()
                if not await asyncio.to_thread(_cancels):
                    console.hint(f"the replay goes on; follow it at {path}")
                    break
                return await api.call("POST", f"{path}/cancel", {})
            job = await api.call("GET", path, None)
            progress.update(task, completed=job["done"], description=_sentence(job))
    return job


def _shows() -> bool:
    return sys.stderr.isatty()


def _cancels() -> bool:
    """Ask whether to cancel; where nobody can be asked, it is left running."""
    return sys.stdin.isatty() and typer.confirm("Cancel the replay?", default=False, err=True)


def _sentence(job: dict[str, Any]) -> str:
    eta = job["eta_seconds"]
    left = "" if eta is None else f", {eta:.0f} s left"
    return f"{job['done']} of {job['total']} records, {job['sent']} sent, {job['state']}{left}"
