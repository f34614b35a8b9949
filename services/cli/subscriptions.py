"""`subscriptions list|get|create|update|pause|resume|rotate|delete|apply`."""

import sys
from itertools import islice
from typing import Annotated

import typer

from services.cli.apply import apply
from services.cli.command import UsageError, command, given
from services.cli.console import Console
from services.kernel.event import Json

COLUMNS = ["id", "status", "types", "url", "description"]
PATH = "/v1/subscriptions"

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the subscription.")]
Url = Annotated[str | None, typer.Option(help="Where requests go.")]
Types = Annotated[
    list[str] | None, typer.Option("--type", help="Event type or pattern; repeat for more.")
]
Description = Annotated[str | None, typer.Option(help="A name for people to recognise it by.")]
Profile = Annotated[str | None, typer.Option(help="Format of the body, e.g. planner-v2.")]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME:VALUE", help="Static header to send; repeat for more."),
]
InFlight = Annotated[int | None, typer.Option(help="Requests at once, per worker.")]
Timeout = Annotated[float | None, typer.Option(help="Time limit of a request, 1 to 30 seconds.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    me = "planner-webhooks subscriptions"
    app.add_typer(
        group,
        name="subscriptions",
        help="Create, change and list subscriptions.",
        epilog=f"Example: {me} list --status active",
    )
    an_id = "61f0a446c97efa37d483102f"
    for function, example in (
        (list_, "list --status active"),
        (get, f"get {an_id} --json"),
        (create, "create --url https://example.com/hooks --type 'stop.report.*'"),
        (update, f"update {an_id} --type plan.created --type route.created"),
        (pause, f"pause {an_id}"),
        (resume, f"resume {an_id}"),
        (rotate, f"rotate {an_id} --overlap-hours 48"),
        (delete, f"delete {an_id} --yes"),
        (apply, "apply webhooks.json --dry-run"),
    ):
        command(group, function.__name__.rstrip("_"), example=f"{me} {example}")(function)


async def list_(
    console: Console,
    *,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    status: Annotated[str | None, typer.Option(help="active, paused or disabled.")] = None,
    url: Annotated[str | None, typer.Option(help="Only those with this URL.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="Only those that want this type.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1_000,
) -> None:
    """List subscriptions, newest first."""
    page = str(min(limit, 500))
    query = given(project_id=project, status=status, url=url, type=type_, limit=page)
    async with console.api() as api:
        found = [row async for row in api.pages(PATH, query)]
    console.rows(islice(found, limit), COLUMNS)
    if not found:
        console.hint("no subscriptions; create one: planner-webhooks subscriptions create --help")


async def get(console: Console, *, id_: Id) -> None:
    """Show one subscription."""
    async with console.api() as api:
        console.record(await api.call("GET", f"{PATH}/{id_}"))


async def create(
    console: Console,
    *,
    url: Annotated[str, typer.Option(help="Where requests go.")],
    types: Annotated[
        list[str], typer.Option("--type", help="Event type or pattern; repeat for more.")
    ],
    project: Annotated[
        str | None, typer.Option(help="Project; needed only if the key is not bound to one.")
    ] = None,
    description: Description = None,
    profile: Profile = None,
    header: Headers = None,
    max_in_flight: InFlight = None,
    timeout_seconds: Timeout = None,
    signature: Annotated[
        str | None, typer.Option(help="v1 (shared secret) or v1a (public key).")
    ] = None,
) -> None:
    """Create a subscription; its secret is shown only now."""
    body = _fields(
        url=url,
        types=types,
        description=description,
        profile=profile,
        header=header,
        max_in_flight=max_in_flight,
        timeout_seconds=timeout_seconds,
    ) | given(project_id=project, signature=signature)
    async with console.api() as api:
        console.record(await api.call("POST", PATH, body))
    console.hint("keep the secret: it is not shown again")


async def update(
    console: Console,
    *,
    id_: Id,
    url: Url = None,
    types: Types = None,
    description: Description = None,
    profile: Profile = None,
    header: Headers = None,
    max_in_flight: InFlight = None,
    timeout_seconds: Timeout = None,
) -> None:
    """Change the fields that are named; the others stay."""
    body = _fields(
        url=url,
        types=types,
        description=description,
        profile=profile,
        header=header,
        max_in_flight=max_in_flight,
        timeout_seconds=timeout_seconds,
    )
    if not body:
        raise UsageError("nothing to change: name at least one field, e.g. --url")
    async with console.api() as api:
        console.record(await api.call("PATCH", f"{PATH}/{id_}", body))


async def pause(console: Console, *, id_: Id) -> None:
    """Stop sending for now; nothing is lost meanwhile."""
    async with console.api() as api:
        console.record(await api.call("POST", f"{PATH}/{id_}/pause", {}))


async def resume(
    console: Console,
    *,
    id_: Id,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="WHEN", help="where_it_stopped (default), now or a time."),
    ] = None,
) -> None:
    """Go on sending from where it stopped; also enables a disabled one."""
    body = given(**{"from": from_})
    async with console.api() as api:
        console.record(await api.call("POST", f"{PATH}/{id_}/resume", body))


async def rotate(
    console: Console,
    *,
    id_: Id,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=168, help="How long the old secret keeps signing.")
    ] = 24,
) -> None:
    """Create a new secret, shown only now; the old one keeps signing for a while."""
    body = {"overlap_hours": overlap_hours}
    async with console.api() as api:
        console.record(await api.call("POST", f"{PATH}/{id_}/secrets/rotate", body))


async def delete(
    console: Console,
    *,
    id_: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a subscription, with everything that waits for it."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {id_} and all that waits for it?", abort=True, err=True)
    async with console.api() as api:
        await api.call("DELETE", f"{PATH}/{id_}")
    console.hint(f"{id_} is deleted")


def _fields(*, types: list[str] | None, header: list[str] | None, **others: object) -> Json:
    headers = dict(map(_header, header)) if header else None
    return given(types=types or None, headers=headers, **others)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {text!r} is not NAME:VALUE")
    return name.strip(), value.strip()
