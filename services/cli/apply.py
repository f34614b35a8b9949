"""`subscriptions apply FILE`: a file says what should be; the difference is shown, then applied."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from services.cli.client import Api, RefusedError
from services.cli.command import AnswerIsNoError, UsageError
from services.cli.console import Console
from services.kernel.event import Json
from services.match import filters

PATH = "/v1/subscriptions"
KEEP = ("id", "project_id")
"""Who it is, in place of how it is."""
SECRET, SET = ("headers", "client_certificate"), "set again"
"""Fields that may hold credentials: what they are set to isn't shown."""
COLUMNS = ["action", "id", "url", "changes", "secret"]
SHOWN = 60

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help='JSON: one subscription, an array, or {"subscriptions": […]}; fields as in the API.',
    ),
]


class Step(NamedTuple):
    """What is to be done about one subscription."""

    action: str
    """`create`, `update`, `delete`, or `keep`: nothing."""
    wanted: Json
    before: Json | None
    changes: Mapping[str, Sequence[Any]]
    """By field: what is, and what should be."""

    @property
    def row(self) -> Json:
        """Return it as it is shown: without what may hold credentials."""
        known = self.before or {}
        return {
            "action": self.action,
            "id": known.get("id"),
            "url": self.wanted.get("url", known.get("url")),
            "changes": {
                name: [before, SET if name in SECRET and after else after]
                for name, (before, after) in self.changes.items()
            },
        }


async def apply(
    console: Console,
    *,
    file: File,
    project: Annotated[
        str | None, typer.Option(help="Project; needed only if the key is not bound to one.")
    ] = None,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Delete the project's subscriptions that are not in FILE."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change; change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before deleting.")] = False,
) -> None:
    """Make subscriptions match FILE, found by id, else by URL; fields it doesn't name stay."""
    wanted = _read(file)
    query = {"limit": "500", **({"project_id": project} if project else {})}
    async with console.api() as api:
        there = [row async for row in api.pages(PATH, query)]
        steps = _steps(wanted, there, project)
        left = _left(steps, there)
        if prune:
            steps += [Step("delete", {}, row, {}) for row in left]
        elif left:
            console.hint(f"{len(left)} not in {file}, left alone; --prune deletes them")
        if not await _valid(console, api, steps):
            raise AnswerIsNoError
        if dry_run:
            _show(console, [step.row for step in steps])
            return
        doomed = sum(step.action == "delete" for step in steps)
        if doomed and not yes and sys.stdin.isatty():
            _show(console, [step.row for step in steps])
            typer.confirm(f"Delete {doomed} and all that waits for them?", abort=True, err=True)
        done = [await _do(console, api, step) for step in steps]
    _show(console, done)


def _read(file: Path) -> list[Json]:
    try:
        found = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{file}:{error.lineno}:{error.colno}: {error.msg}") from error
    if isinstance(found, dict):
        found = found.get("subscriptions", [found])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UsageError(f"{file}: expected an array of subscriptions, objects as in the API")
    named = [each.get("id") or each.get("url") for each in found]
    twice = next((name for n, name in enumerate(named) if name in named[:n]), None)
    if twice is not None:
        raise UsageError(
            f"{file}: {twice} appears twice; subscriptions that share a URL need their ids"
        )
    if None in named:
        raise UsageError(f"{file}: entry {named.index(None)} has neither id nor url")
    return found


def _steps(wanted: Sequence[Json], there: Sequence[Json], project: str | None) -> list[Step]:
    steps = []
    for each in wanted:
        before = _known(each, there)
        if before is None:
            body = {**({"project_id": project} if project else {}), **each}
            changes = {name: [None, value] for name, value in each.items()}
            steps.append(Step("create", body, None, changes))
            continue
        changes = {
            name: [before.get(name), value]
            for name, value in each.items()
            if name not in KEEP and not _same(name, before.get(name), value)
        }
        steps.append(Step("update" if changes else "keep", each, before, changes))
    return steps


def _known(wanted: Json, there: Sequence[Json]) -> Json | None:
    if "id" in wanted:
        found = [row for row in there if row["id"] == wanted["id"]]
        if not found:
            raise UsageError(
                f"no subscription {wanted['id']}: leave out the id to create a new one"
            )
        return found[0]
    projects = {wanted["project_id"]} if "project_id" in wanted else None
    found = [
        row
        for row in there
        if row["url"] == wanted["url"] and (projects is None or row["project_id"] in projects)
    ]
    if len(found) > 1:
        ids = ", ".join(sorted(row["id"] for row in found))
        raise UsageError(f"{wanted['url']} belongs to {ids}: say by id which one is meant")
    return found[0] if found else None


def _left(steps: Sequence[Step], there: Sequence[Json]) -> list[Json]:
    named = {step.before["id"] for step in steps if step.before is not None}
    return [row for row in there if row["id"] not in named]


def _same(name: str, before: object, wanted: object) -> bool:
    if name == "filter" and isinstance(wanted, dict):
        return before == _normal(wanted)
    if name == "headers" and wanted:
        return False  # their values are never shown: set again
    return before == wanted


def _normal(written: Json) -> object:
    """Return a filter as it is stored and shown; as it is where it isn't valid."""
    loaded = filters.load(orjson.dumps(written))
    checked = filters.check(loaded, types=(), geofences=None, schema=False)
    return written if checked.normal is None else checked.normal


async def _valid(console: Console, api: Api, steps: Sequence[Step]) -> bool:
    """Have all filters checked before anything is changed; say what is wrong with them."""
    fine = True
    for step in steps:
        written = step.wanted.get("filter")
        if written is None or not {"filter", "types"} & set(step.changes):
            continue
        before = step.before or {}
        body = {"types": step.wanted.get("types", before.get("types")), "filter": written}
        project = step.wanted.get("project_id", before.get("project_id"))
        if project is not None:
            body["project_id"] = project
        answer = await api.call("POST", "/v1/filters/check", body)
        for fault in answer["errors"]:
            fine = False
            url = step.row["url"]
            console.error(f"{url}: {fault['pointer']}: {fault['message']} [{fault['code']}]")
    return fine


async def _do(console: Console, api: Api, step: Step) -> Json:
    """Do one step; return it as it is shown."""
    row = step.row
    try:
        if step.action == "create":
            row |= await _create(api, step.wanted)
        elif step.action == "update" and step.before is not None:
            await _update(api, step.before["id"], dict(step.changes))
        elif step.action == "delete" and step.before is not None:
            await api.call("DELETE", f"{PATH}/{step.before['id']}")
    except RefusedError:
        console.error(f"refused at {row['url']}; what comes before it in the file has been applied")
        raise
    return row


async def _create(api: Api, wanted: Json) -> Json:
    status = wanted.get("status")
    body = {name: value for name, value in wanted.items() if name != "status"}
    made = await api.call("POST", PATH, body)
    if status == "paused":
        await api.call("POST", f"{PATH}/{made['id']}/pause", {})
    return {"id": made["id"], "secret": made.get("secret", made.get("public_key"))}


async def _update(api: Api, id_: str, changes: Mapping[str, Sequence[Any]]) -> None:
    fields = {name: after for name, (_, after) in changes.items() if name != "status"}
    if fields.get("headers") is not None:  # a merge patch keeps what it doesn't name
        fields["headers"] = {**dict.fromkeys(changes["headers"][0]), **fields["headers"]}
    if fields:
        await api.call("PATCH", f"{PATH}/{id_}", fields)
    if "status" in changes:
        verb = {"paused": "pause", "active": "resume"}.get(str(changes["status"][1]))
        if verb is None:
            raise UsageError("a status can be set to active or paused")
        await api.call("POST", f"{PATH}/{id_}/{verb}", {})


def _show(console: Console, rows: Sequence[Json]) -> None:
    if not console.as_json:
        rows = [{**row, "changes": _in_words(row["changes"])} for row in rows]
    console.rows(rows, COLUMNS)


def _in_words(changes: Mapping[str, Sequence[Any]]) -> str:
    return "; ".join(
        f"{name}: {SET}" if after == SET else f"{name}: {_short(before)} → {_short(after)}"
        for name, (before, after) in changes.items()
    )


def _short(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
