"""A new webhook in three steps: where to, what, and its secret with a first event.

Nothing is stored before the second step is sent: each step carries what was typed in the others.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from aiohttp import web

from services.dashboard import rows
from services.dashboard.forms import Form, lines, number
from services.dashboard.samples import samples
from services.dashboard.views.recent import recent
from services.dashboard.views.webhook_form import certificate_of, filter_of
from services.dashboard.visit import Visit
from services.kernel.errors import Fault, FaultsError
from services.match.types import selected

AT = "/webhooks/new"
PING = "webhook.ping"
FIRST_STEP = ("/url", "/description", "/project_id")
FIELDS = {
    "/types": "f-types", "/filter": "f-filter", "/url": "f-url", "/project_id": "project",
    "/delivery": "f-delivery", "/rate_limit": "f-rate_limit",
    "/client_certificate/key": "f-certificate_key", "/client_certificate": "f-certificate",
}  # fmt: skip
"""Where what is wrong with the body is mended."""
ROWS = "rows"
DELIVERIES = (
    ("each", "One for each event"),
    ("batch", "Batches: up to 100 events within a second"),
    ("latest", "Positions: the latest of each vehicle, every 30 seconds"),
)


class Tried(NamedTuple):
    """What would have become of an event of the past."""

    entry: Mapping[str, Any]
    explained: Mapping[str, Any]


async def start(visit: Visit) -> web.StreamResponse:
    """Ask for the URL; a link may name one, and types."""
    given = {name: visit.query.get(name, "") for name in ("url", "description", "types")}
    visit.several = {"types": lines(given.pop("types"))}
    return _first(visit, Form(given))


async def url(visit: Visit) -> web.StreamResponse:
    """Show the first step again, with what was typed."""
    return _first(visit, Form(visit.typed))


async def probe(visit: Visit) -> web.StreamResponse:
    """Look whether the URL answers, and stay."""
    probed, faults = await _probe(visit)
    return _first(visit, Form(visit.typed, faults), probed=probed)


async def types(visit: Visit) -> web.StreamResponse:
    """Go on to the types, unless nothing may ever be sent to that URL."""
    probed, faults = await _probe(visit)
    if faults:
        return _first(visit, Form(visit.typed, faults))
    return await _second(visit, Form(visit.typed), probed=probed)


async def attempt(visit: Visit) -> web.StreamResponse:
    """Judge types and filter, and try them on the last events."""
    body, faults = body_of(visit)
    if not faults:
        asked: dict[str, Any] = {
            name: body[name] for name in ("project_id", "types", "filter") if name in body
        }
        judged, faults = await check(visit, asked)
        if not faults:
            tried = await try_on_last(visit, asked)
            return await _second(visit, Form(visit.typed), judged=judged, tried=tried)
    return await _second(visit, Form(visit.typed, faults), trying=True)


async def create(visit: Visit) -> web.StreamResponse:
    """Make it; show its secret this once."""
    body, faults = body_of(visit)
    made = None
    if not faults:
        try:
            made = await visit.ask("POST /v1/subscriptions", body=body, once=True)
        except FaultsError as error:
            faults = list(error.faults)
    if made is None:
        form = Form(visit.typed, faults)
        if all(fault.pointer in FIRST_STEP for fault in faults):
            return _first(visit, form)
        return await _second(visit, form)
    secret = made.get("secret") or made["public_key"]
    return _third(visit, made, secret, made["types"][0], tested=None, status=201)


async def first_event(visit: Visit) -> web.StreamResponse:
    """Send a first event, and show what it was answered beside the secret, which stays."""
    id_, type_ = visit.request.match_info["id"], visit.typed.get("type") or PING
    webhook = await visit.ask("GET /v1/subscriptions/{id}", id=id_)
    route, body = "POST /v1/subscriptions/{id}/test", {"type": type_}
    tested, form = None, Form()
    try:
        tested = await visit.ask(route, id=id_, body=body, once=True)
    except FaultsError as error:
        form = Form(visit.typed, error.faults)
    status = 422 if form.faults else 200
    secret = visit.typed.get("secret", "")
    return _third(visit, webhook, secret, type_, tested=tested, status=status, form=form)


def body_of(visit: Visit) -> tuple[dict[str, Any], list[Fault]]:
    """Return what was typed as the API takes it, and what is no filter of it."""
    typed = visit.typed
    body: dict[str, Any] = {"url": typed.get("url", "").strip()}
    body |= visit.scoped()
    if typed.get("description", "").strip():
        body["description"] = typed["description"].strip()
    if typed.get("delivery", "each") != "each":
        body["delivery"] = {"mode": typed["delivery"]}
    if typed.get("rate_limit", "").strip():
        body["rate_limit"] = number(typed["rate_limit"])
    body |= certificate_of(typed)
    body["types"] = list(dict.fromkeys(visit.several.get("types", ())))
    if typed.get("filter_as") == ROWS:
        body["filter"], faults = rows.filter_of(_rows(visit))
    else:
        body["filter"], faults = filter_of(typed.get("filter", ""))
    return body, faults


async def check(visit: Visit, asked: object) -> tuple[Mapping[str, Any] | None, list[Fault]]:
    """Return the API's judgement of types and filter, and what is wrong with them."""
    try:
        judged = await visit.ask("POST /v1/filters/check", body=asked)
    except FaultsError as error:
        return None, list(error.faults)
    return judged, [Fault(**each) for each in judged["errors"]]


async def try_on_last(visit: Visit, asked: Mapping[str, Any]) -> Sequence[Tried]:
    """Return the last events of the types in question, each with whether it would be sent."""
    entries = await recent(visit, asked["types"])
    route = "POST /v1/filters/explain"
    answers = await asyncio.gather(
        *(visit.ask(route, body={**asked, "event": each["event"]}) for each in entries)
    )
    return [Tried(*each) for each in zip(entries, answers, strict=True)]


async def _probe(visit: Visit) -> tuple[Mapping[str, Any] | None, Sequence[Fault]]:
    body = {"url": visit.typed.get("url", "").strip()}
    try:
        return await visit.ask("POST /v1/subscriptions/probe", body=body), ()
    except FaultsError as error:
        return None, error.faults


def _first(
    visit: Visit, form: Form, *, probed: Mapping[str, Any] | None = None
) -> web.StreamResponse:
    visit.caller.require("manage")
    status = 422 if form.faults else 200
    return visit.render(
        "new_webhook.html", at=AT, status=status, form=form, probed=probed, fields=FIELDS
    )


async def _second(
    visit: Visit,
    form: Form,
    *,
    probed: Mapping[str, Any] | None = None,
    judged: Mapping[str, Any] | None = None,
    tried: Sequence[Tried] = (),
    trying: bool = False,
) -> web.StreamResponse:
    visit.caller.require("manage")
    form = form._replace(
        values={name: text for name, text in form.values.items() if name != "certificate_key"}
    )
    known = (await visit.ask("GET /v1/event-types", query=visit.scoped()))["data"]
    plain = [row for row in known if not row["stream"]]
    filled = _rows(visit)
    blank = [rows.Row("", "is", "")] * max(1, rows.FEWEST - len(filled))
    return visit.render(
        "new_webhook_types.html",
        at=AT,
        status=422 if form.faults else 200,
        form=form,
        fields=FIELDS,
        families=[
            (name, list(group))
            for name, group in groupby(plain, key=lambda row: row["type"].partition(".")[0])
        ],
        streams=[row for row in known if row["stream"]],
        chosen=visit.several.get("types", ()),
        rows=(filled + blank)[: rows.MOST],
        deliveries=DELIVERIES,
        comparisons=rows.WORDS,
        filter_as=visit.typed.get("filter_as", ROWS),
        as_json=_pretty(rows.filter_of(filled)[0]),
        probed=probed,
        judged=judged,
        tried=tried,
        trying=trying,
    )


def _third(
    visit: Visit,
    webhook: Mapping[str, Any],
    secret: str,
    type_: str,
    *,
    tested: Mapping[str, Any] | None,
    status: int,
    form: Form = Form(),  # noqa: B008 - it can't change
) -> web.StreamResponse:
    sent = {each: None for pattern in webhook["types"] for each in selected(pattern)}
    choices = [(each, each) for each in dict.fromkeys((PING, *sent))]
    response = visit.render(
        "new_webhook_secret.html",
        at=AT,
        status=status,
        form=form,
        webhook=webhook,
        secret=secret,
        choices=choices,
        samples=samples(),
        first=type_ if type_ in sent else next(iter(sent), PING),
        tested=tested,
    )
    response.headers["Cache-Control"] = "no-store"
    return response


def _rows(visit: Visit) -> list[rows.Row]:
    columns = (visit.several.get(name, ()) for name in ("path", "comparison", "value"))
    return rows.rows_of(*columns)


def _pretty(pattern: object) -> str:
    return "" if pattern is None else json.dumps(pattern, indent=2, ensure_ascii=False)
