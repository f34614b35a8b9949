"""`filter check|explain|dry-run`: a filter in a file, judged and tried before it is stored."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from services.cli.client import Api, RefusedError
from services.cli.command import AnswerIsNoError, UsageError, command
from services.cli.console import Console
from services.cli.places import Place, nearest, places
from services.kernel.event import Json
from services.match.filters import NotJsonError, load

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help='A filter as JSON, or {"types": […], "filter": …}.',
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--types", help="Event types or patterns, if FILE doesn't name them; repeat for more."
    ),
]
Project = Annotated[
    str | None, typer.Option(help="Project; needed only if the key is not bound to one.")
]
EXPLAINED = 3
"""Branches that are told: the nearest."""


class Written(NamedTuple):
    """A filter as it is written in a file."""

    file: Path
    places: Mapping[str, Place]
    whole: bool
    """Whether the file holds the types too: pointers begin at its root, not at `/filter`."""
    body: bytes
    """What the API is asked, the filter's own bytes in it, so that it sees what stands there."""

    def at(self, pointer: str) -> Place:
        """Return where in the file a pointer of the API's leads to."""
        if not self.whole:
            pointer = pointer.removeprefix("/filter") if pointer.startswith("/filter") else ""
        return nearest(self.places, pointer)

    def holds(self, fault: Json) -> bool:
        """Tell whether what a fault is about stands in the file."""
        inside = ("/filter", "/types") if self.whole else "/filter"
        return str(fault.get("pointer") or "").startswith(inside)

    def line(self, fault: Json) -> str:
        """Return what is said of a place in the file, as compilers do."""
        place = self.at(fault["pointer"])
        return f"{self.file}:{place.line}:{place.column}: {fault['message']} [{fault['code']}]"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    me = "planner-webhooks filter"
    app.add_typer(
        group,
        name="filter",
        help="Check and try a filter before it is stored.",
        epilog=f"Example: {me} check filter.json --types 'stop.report.*'",
    )
    command(group, "check", example=f"{me} check filter.json --types 'stop.report.*'")(check)
    command(
        group,
        "explain",
        example=f"{me} explain filter.json --types 'stop.*' --event event.json",
    )(explain)
    command(
        group,
        "dry-run",
        example=f"{me} dry-run filter.json --types 'stop.*' --from 2026-03-17T00:00:00Z",
    )(dry_run)


async def check(
    console: Console, *, file: File, types: Types = None, project: Project = None
) -> None:
    """Show what is wrong or odd in a filter, with line and column; exit with 1 if it isn't valid."""
    written = read(console, file, types, project_id=project)
    async with console.api() as api:
        found = await api.call("POST", "/v1/filters/check", written.body)
    if console.as_json:
        console.record({**found, **{name: _placed(written, found[name]) for name in SAID}})
    else:
        for fault in found["errors"]:
            console.line(written.line(fault))
        for odd in found["warnings"]:
            console.line(written.line({**odd, "message": f"warning: {odd['message']}"}))
        if found["valid"]:
            console.line("valid")
    if not found["valid"]:
        raise AnswerIsNoError


SAID = ("errors", "warnings")


async def explain(
    console: Console,
    *,
    file: File,
    event: Annotated[
        Path, typer.Option("--event", exists=True, dir_okay=False, help="An event as JSON.")
    ],
    types: Types = None,
    project: Project = None,
) -> None:
    """Show whether an event matches a filter, or which clauses fail; exit with 1 if it doesn't."""
    raw = event.read_bytes()
    _loaded(console, event, raw)
    written = read(console, file, types, project_id=project, more=b', "event": ' + raw)
    async with console.api() as api:
        found = await _ask(api, "/v1/filters/explain", written)
    if console.as_json:
        console.record(found)
    elif found["match"]:
        console.line("matches")
    else:
        console.line("does not match")
        for line in _why(written, found):
            console.line(line)
    if not found["match"]:
        raise AnswerIsNoError


async def dry_run(
    console: Console,
    *,
    file: File,
    from_: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Where in the log to start.")
    ],
    types: Types = None,
    project: Project = None,
    subscription: Annotated[
        str | None, typer.Option(help="Show what this subscription would gain and lose.")
    ] = None,
) -> None:
    """Show what a filter would have sent since a given time. Ctrl-C cancels."""
    asked = {"from": from_, **({} if subscription is None else {"subscription": subscription})}
    more = b", " + orjson.dumps(asked)[1:-1]
    written = read(console, file, types, project_id=project, more=more)
    async with console.api() as api:
        job = await _ask(api, "/v1/filters/dry-run", written)
        path = f"/v1/filters/dry-runs/{job['id']}"
        try:
            while job["state"] in ("queued", "running"):
                if job["done"]:
                    console.progress(_progress(job))
                await asyncio.sleep(LOOK_SECONDS)
                job = await api.call("GET", path)
        except asyncio.CancelledError:
            await api.call("POST", f"{path}/cancel", {})
            raise
    if console.as_json:
        console.record(job)
    elif job["result"] is not None:
        for line in _found(written, job["result"]):
            console.line(line)
    if job["state"] != "done":
        console.error(job.get("error") or f"the dry run was {job['state']}")
        raise AnswerIsNoError


LOOK_SECONDS = 0.3


async def _ask(api: Api, path: str, written: Written) -> Json:
    """Call the API. Raises RefusedError, whose faults say where in the file they are."""
    try:
        return await api.call("POST", path, written.body)
    except RefusedError as refused:
        refused.faults = [
            written.line(error) if written.holds(error) else said
            for error, said in zip(refused.errors, refused.faults, strict=True)
        ]
        raise


def _progress(job: Json) -> str:
    left = "" if job["eta_seconds"] is None else f", {job['eta_seconds']:.0f} s left"
    return f"{job['done']:,} of {job['total']:,} records{left}"


def _found(written: Written, result: Json) -> Iterator[str]:
    bounded = "" if result["complete"] else " (not to the end of the log: a limit was reached)"
    yield (
        f"would have sent {result['matched']:,} of {result['scanned']:,} events,"
        f" {result['peak_per_second']:,}/s at the peak, {result['bytes']:,} bytes{bounded}"
    )
    for type_, count in result["types"].items():
        yield f"  {type_}: {count['matched']:,} of {count['scanned']:,}"
    explained = result["misses"]["explained"]
    for clause in result["misses"]["clauses"]:
        place = written.at(clause["pointer"])
        where = f"{written.file}:{place.line}:{place.column}"
        yield f"  {where}: {clause['count']:,} of {explained:,} stopped at {clause['path']}"
    for name in ("gains", "losses") if "change" in result else ():
        yield f"  {name}: {result['change'][name]['count']:,}"
    for sample in result["samples"]:
        where = f"{sample['topic']}/{sample['partition']}/{sample['offset']}"
        yield f"  for example {sample['type']} {sample['id']} at {where}"


def _why(written: Written, found: Json) -> list[str]:
    if not found["type_selected"]:
        return ["  the type of the event is not selected"]
    lines = []
    for n, branch in enumerate(found["branches"][:EXPLAINED]):
        if n:
            lines.append("  or, further away:")
        for miss in branch["misses"]:
            place = written.at(miss["pointer"])
            wanted = orjson.dumps(miss["wanted"]).decode()
            there = miss["note"] or orjson.dumps(miss["actual"]).decode()
            if miss["note"] and miss["actual"] is not None:
                there += f", {orjson.dumps(miss['actual']).decode()}"
            where = f"{written.file}:{place.line}:{place.column}"
            lines.append(f"  {where}: {miss['path']} is {there}; wanted {wanted}")
    return lines


def read(
    console: Console,
    file: Path,
    types: Sequence[str] | None,
    *,
    project_id: str | None,
    more: bytes = b"",
) -> Written:
    """Read a filter, and make the question of it. Raises UsageError, AnswerIsNoError."""
    raw = file.read_bytes()
    found = _loaded(console, file, raw)
    whole = isinstance(found, dict) and isinstance(found.get("types"), list)
    if whole and types:
        raise UsageError(f"{file} names types itself: leave --types out")
    if not whole and not types:
        raise UsageError('name event types with --types, e.g. --types "stop.*"')
    project = b"" if project_id is None else b', "project_id": ' + orjson.dumps(project_id)
    if whole:
        body = raw.rstrip()[:-1] + project + more + b"}"
    else:
        asked = orjson.dumps(types)
        body = b'{"types": ' + asked + b', "filter": ' + raw + project + more + b"}"
    return Written(file, places(raw.decode()), whole, body)


def _loaded(console: Console, file: Path, raw: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return load(raw)
    except NotJsonError as error:
        told = {"message": f"not JSON: {error.problem}", "code": "json"}
        if console.as_json:
            place = {"line": error.line, "column": error.column}
            console.record({"valid": False, "errors": [{**told, **place}]})
        else:
            console.line(f"{file}:{error.line}:{error.column}: {told['message']} [json]")
        raise AnswerIsNoError from error


def _placed(written: Written, faults: Sequence[Json]) -> list[Json]:
    return [{**fault, **written.at(fault["pointer"])._asdict()} for fault in faults]
