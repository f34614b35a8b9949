"""The catalogue: each event type, what it means, what it carries; and a test of one."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from services.dashboard.forms import Form
from services.dashboard.visit import Visit
from services.kernel.errors import Fault, FaultsError

ONE = "GET /v1/event-types/{type}"
WEBHOOKS = "100"
"""That a test can be sent to."""


class Field(NamedTuple):
    """One field that an event type carries."""

    name: str
    kind: str
    meaning: str
    always: bool


async def index(visit: Visit) -> web.StreamResponse:
    """Show all types, by what they are about."""
    found = await visit.ask("GET /v1/event-types", query=visit.scoped())
    wanted = visit.query.get("q", "").lower()
    rows = [row for row in found["data"] if not wanted or _matches(row, wanted)]
    groups = [
        (name, list(group))
        for name, group in groupby(rows, key=lambda row: row["type"].partition(".")[0])
    ]
    return visit.render("event_types.html", groups=groups, count=len(rows), form=Form(visit.query))


async def one(visit: Visit) -> web.StreamResponse:
    """Show one type: when and when not, its fields, an example per profile."""
    return visit.render("event_type.html", tested=None, **await _one(visit))


async def test(visit: Visit) -> web.StreamResponse:
    """Send the type's example to a webhook, and show the answer."""
    shown = await _one(visit)
    at = f"/event-types/{shown['known']['type']}"
    id_, text = visit.typed.get("webhook", ""), visit.typed.get("data", "")
    try:
        body = {"type": shown["known"]["type"], "data": edited(text)}
        tested = await visit.ask("POST /v1/subscriptions/{id}/test", id=id_, body=body, once=True)
    except FaultsError as error:
        form = Form(visit.typed, error.faults)
        return visit.render("event_type.html", status=422, at=at, form=form, tested=None, **shown)
    return visit.render("event_type.html", at=at, tested=tested, form=Form(visit.typed), **shown)


async def _one(visit: Visit) -> dict[str, Any]:
    known = await visit.ask(ONE, query=visit.scoped(), type=visit.request.match_info["type"])
    webhooks: Sequence[Mapping[str, Any]] = ()
    if visit.may("manage"):
        query = visit.scoped({"limit": WEBHOOKS})
        webhooks = (await visit.ask("GET /v1/subscriptions", query=query))["data"]
    examples = {name: pretty(example) for name, example in known["examples"].items()}
    chosen = visit.query.get("profile", "planner-2022")
    return {
        "known": known,
        "webhooks": webhooks,
        "examples": examples,
        "profile": chosen if chosen in examples else "planner-2022",
        "fields": list(_fields(known["schema"])),
        "data": pretty(known["examples"]["planner-2022"]["data"]),
    }


def _matches(row: Mapping[str, Any], wanted: str) -> bool:
    told = (row["meaning"], row["when"], row["not_when"])
    return any(
        wanted in text.lower() for text in (row["type"], *row["aliases"], *row["umbrellas"], *told)
    )


def edited(text: str) -> object:
    """Return edited data. Raises FaultsError where it is no JSON."""
    if not text.strip():
        return None
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        message = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise FaultsError("The test is not valid", [Fault("json", message, "/data")]) from error
    return found


def pretty(example: object) -> str:
    return orjson.dumps(example, option=orjson.OPT_INDENT_2).decode()


def _fields(schema: Mapping[str, Any] | None) -> Iterator[Field]:
    """Yield the fields of `data`, and those of what is within it, with their meaning."""
    if schema is None:
        return
    known = schema["$defs"]
    found = _resolved(schema, known)
    for name, each in found["properties"].items():
        inner = _resolved(each, known)
        always = name in found.get("required", ())
        yield Field(name, _kind(each), inner.get("description", ""), always=always)
        for part, within in inner["properties"].items():
            meaning = _resolved(within, known).get("description", "")
            needed = part in inner.get("required", ())
            yield Field(f"{name}.{part}", _kind(within), meaning, always=needed)


def _resolved(schema: Any, known: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a schema with what it refers to."""
    if not isinstance(schema, dict):
        return {}
    found: dict[str, Any] = {}
    if "$ref" in schema:
        found.update(_resolved(known.get(schema["$ref"].rpartition("/")[2], {}), known))
    for part in schema.get("allOf", ()):
        merged = _resolved(part, known)
        found["properties"] = {**found.get("properties", {}), **merged.get("properties", {})}
        found["required"] = [*found.get("required", ()), *merged.get("required", ())]
    own = {name: value for name, value in schema.items() if name not in ("$ref", "allOf", "$defs")}
    properties = {**found.get("properties", {}), **own.pop("properties", {})}
    return {**found, **own, "properties": properties}


def _kind(schema: Any) -> str:  # noqa: ANN401 - JSON
    """Return what a field is, in a word or two."""
    if not isinstance(schema, dict):
        return "anything"
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum") or [schema["const"]]))
    among = schema.get("anyOf") or schema.get("oneOf")
    if among:
        return " or ".join(dict.fromkeys(map(_kind, among)))
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "anything")
    name = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if "array" in name and "items" in schema:
        return name.replace("array", f"array of {_kind(schema['items'])}")
    return f"{name}, {schema['format']}" if "format" in schema else name
