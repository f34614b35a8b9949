"""`simulate`: a delivery day of a small fleet, many times as fast, into Kafka by way of the API."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from services.cli.client import Api
from services.cli.command import UsageError, command
from services.cli.console import Console
from services.dev.day import Day, Told
from services.kernel.clock import SystemClock

MOST = 500
"""Events of one call."""
TICK_SECONDS = 0.25


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "planner-webhooks simulate --vehicles 5 --speed 120 --seed 7"
    command(app, "simulate", example=example)(simulate)


async def simulate(
    console: Console,
    *,
    vehicles: Annotated[int, typer.Option(min=1, max=50, help="How many vans drive.")] = 3,
    speed: Annotated[
        float, typer.Option(min=0.1, help="How many times faster than a real day.")
    ] = 60.0,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same events; default: random.")
    ] = None,
    day: Annotated[
        str | None, typer.Option(metavar="DATE", help="The day to simulate; default: yesterday.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Project; needed only if the key is not bound to one.")
    ] = None,
) -> None:
    """Simulate a fleet's day: plan, optimise, drive, report, with a phone offline and a failed stop."""
    clock = SystemClock()
    seed = int.from_bytes(os.urandom(3), "big") if seed is None else seed
    whole = Day(vehicles=vehicles, seed=seed, day=_day(day, clock.now()), zone=UTC)
    told = list(whole.events())
    start, end = told[0].at, told[-1].at
    minutes = (end - start).total_seconds() / speed / 60
    console.hint(f"seed {seed}: {len(told)} events in {minutes:.1f} minutes; Ctrl-C stops")
    began, count = clock.monotonic(), 0
    async with console.api() as api:
        for first, due in _together(told, span=timedelta(seconds=speed * TICK_SECONDS)):
            wait = (first - start).total_seconds() / speed - (clock.monotonic() - began)
            if wait > 0:
                await asyncio.sleep(wait)
            await _produce(api, due, project)
            count += len(due)
            for each in due:
                _show(console, each)
            left = (end - first).total_seconds() / speed
            console.progress(f"{first:%H:%M}, {count} of {len(told)} events, {left:.0f} s left")
    console.hint(f"{count} events; again with --seed {seed}")


def _together(told: Iterable[Told], *, span: timedelta) -> Iterator[tuple[datetime, list[Told]]]:
    """Yield what is produced within one tick, with when it begins."""
    due: list[Told] = []
    for each in told:
        if due and (each.at - due[0].at >= span or len(due) == MOST):
            yield due[0].at, due
            due = []
        due.append(each)
    if due:
        yield due[0].at, due


async def _produce(api: Api, due: list[Told], project: str | None) -> None:
    events = [each.event for each in due]
    for event in events:
        if project is not None:
            event["project_id"] = project
    await api.call("POST", "/v1/events", {"events": events})


def _show(console: Console, told: Told) -> None:
    if console.as_json:
        console.record(told.event)
    elif told.event["type"] != "vehicle.position":  # there are thousands
        late = "  late" if told.event.get("meta", {}).get("late") else ""
        console.line(f"{told.at:%H:%M:%S}  {told.event['type']}{late}")


def _day(text: str | None, now: datetime) -> date:
    if text is None:
        return (now - timedelta(days=1)).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--day {text!r} is not a date like 2026-03-17") from error
