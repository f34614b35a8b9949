"""`events tail|get` and `resend`: the log as it grows, one event, and what was given up sent again."""

import asyncio
from typing import Annotated

import typer

from services.cli.client import Api
from services.cli.command import AnswerIsNoError, UsageError, command, given
from services.cli.console import Console
from services.kernel.event import Json

STEP_SECONDS = 0.5
ENDED = ("done", "cancelled", "failed")
Type = Annotated[str | None, typer.Option("--type", help="Only this event type or pattern.")]
Topic = Annotated[str | None, typer.Option(help="Only this topic.")]
One = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="One delivery or dead letter; without it, all that match."),
]
Webhook = Annotated[
    str | None, typer.Option("--webhook", metavar="ID", help="Send it to this webhook instead.")
]
State = Annotated[str | None, typer.Option(help="dead (default), parked or acknowledged.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    me = "planner-webhooks events"
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group,
        name="events",
        help="Events in the log.",
        epilog=f"Example: {me} tail --type 'stop.*'",
    )
    command(group, "tail", example=f"{me} tail --type 'stop.report.*'")(tail)
    command(group, "get", example=f"{me} get planner.events/3/1200")(get)
    command(app, "resend", example="planner-webhooks resend --status 5xx --rate 50")(resend)


async def tail(
    console: Console,
    *,
    type_: Type = None,
    topic: Topic = None,
    vehicle: Annotated[str | None, typer.Option(metavar="ID", help="Only of this vehicle.")] = None,
    deliveries: Annotated[
        bool, typer.Option("--deliveries", help="Show requests to receivers instead of events.")
    ] = False,
) -> None:
    """Show events, or deliveries, as they happen. Ctrl-C stops."""
    of = "deliveries" if deliveries else "events"
    query = given(of=of, type=type_, topic=topic, vehicle_id=vehicle)
    console.hint("listening; Ctrl-C stops")
    async with console.api() as api:
        async for name, data in api.follow("/v1/stream", query):
            if console.as_json:
                console.record(data)
            else:
                console.line(_line(name, data))


async def get(
    console: Console,
    *,
    place: Annotated[
        str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="Where it is in the log.")
    ],
) -> None:
    """Show one event of the log."""
    if place.count("/") != 2:  # noqa: PLR2004 - topic, partition, offset
        raise UsageError(f"{place!r} is not a place in the log: write TOPIC/PARTITION/OFFSET")
    async with console.api() as api:
        console.record(await api.call("GET", f"/v1/events/{place}"))


async def resend(
    console: Console,
    *,
    id_: One = None,
    webhook: Webhook = None,
    state: State = None,
    subscription: Annotated[str | None, typer.Option(help="Only of this subscription.")] = None,
    outcome: Annotated[
        str | None, typer.Option(help="Only with this outcome: http, timeout …")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only with this status, or class: 5xx.")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only of this event type.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Given up, or last tried, at or after this time.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Given up, or last tried, before this time.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Deliveries per second, at most.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many there are; send nothing.")
    ] = False,
) -> None:
    """Send deliveries again, dead letters by default; waits until each has been tried."""
    body = given(
        state=state,
        subscription=subscription,
        outcome=outcome,
        status=status,
        type=type_,
        **{"from": since},
        to=until,
        rate=rate,
    )
    if id_ is not None and (body or dry_run):
        raise UsageError("name one by its id, or many by a filter")
    if id_ is None and webhook is not None:
        raise UsageError("--webhook takes one delivery at a time: name it by its id")
    async with console.api() as api:
        if id_ is not None:
            to = {} if webhook is None else {"to": webhook}
            job = await api.call("POST", f"/v1/deliveries/{id_}/resend", to)
        else:
            job = await api.call("POST", "/v1/resends", {**body, "dry_run": dry_run})
        if dry_run:
            console.record(job)
            return
        job = await _ended(console, api, job)
    console.record(job)
    if job["state"] != "done" or job["delivered"] < job["total"]:
        raise AnswerIsNoError


async def _ended(console: Console, api: Api, job: Json) -> Json:
    """Return the job once it has ended, showing its progress until then."""
    shown = None
    while job["state"] not in ENDED:
        if job["done"] != shown:
            shown = job["done"]
            console.hint(f"{shown} of {job['total']}")
        await asyncio.sleep(STEP_SECONDS)
        job = await api.call("GET", f"/v1/resends/{job['id']}")
    return job


def _line(name: str, data: Json) -> str:
    if name == "missed":
        where = f"{data['topic']}/{data['partition']}"
        return f"missed    {where} {data['from_offset']} to {data['to_offset']}: not in the log"
    if name == "delivery":
        answer = data["status"] or data["outcome"]
        took = f"{data['phases']['total_ms']:.0f} ms"
        to = data["subscription_id"]
        return f"{data['started_at']}  {data['type']:<28} {answer!s:<8} {took:>8}  {to}"
    where = f"{data['topic']}/{data['partition']}/{data['offset']}"
    return f"{data['produced_at']}  {data['type']:<28} {data['key'] or '-':<26} {where}"
