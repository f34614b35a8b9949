"""Replays: part of the log once more. An estimate first, then its progress; and those that were."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from aiohttp import web

from services.dashboard import words
from services.dashboard.forms import Form, lines, moments, number
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import ConflictError, Fault, FaultsError

CREATE = "POST /v1/subscriptions/{id}/replays"
ONE = "GET /v1/replays/{id}"
ROWS = "25"
FILTERS = ("subscription", "cursor", "project_id")
FIELDS = ("from", "to", "plan_id", "route_id", "vehicle_id", "key")
NUMBERS = ("rate", "speed")
START = "start"


async def index(visit: Visit) -> web.StreamResponse:
    """Show the replays that were made, newest first."""
    query = {name: text for name, text in visit.query.items() if name in FILTERS}
    found = await visit.ask("GET /v1/replays", query=visit.scoped({"limit": ROWS, **query}))
    return visit.render(
        "replays.html",
        replays=found["data"],
        next=found["next"],
        webhooks=await known_webhooks(visit),
    )


async def new(visit: Visit) -> web.StreamResponse:
    """Ask what to replay; the address may fill the form: a vehicle's day has one to share."""
    return await _form(visit, Form(visit.query))


async def create(visit: Visit) -> web.StreamResponse:
    """Count what is asked for, or begin."""
    id_, faults = visit.typed.get("subscription", ""), []
    if not id_:
        faults = [Fault("required", "choose the webhook to send to", "/subscription")]
        return await _form(visit, Form(visit.typed, faults))
    body, begins = _body(visit), START in visit.typed
    try:
        made = await visit.ask(CREATE, id=id_, body={**body, "dry_run": not begins}, once=begins)
    except FaultsError as error:
        return await _form(visit, Form(visit.typed, error.faults))
    except ConflictError as error:
        return await _form(visit, Form(visit.typed, [Fault("conflict", str(error))]))
    if begins:
        return visit.redirect(f"/replays/{made['id']}")
    return await _form(visit, Form(visit.typed), counted=made)


async def one(visit: Visit) -> web.StreamResponse:
    """Show how far a replay is."""
    found = await visit.ask(ONE, id=visit.request.match_info["id"])
    return visit.render("replay.html", replay=found, webhooks=await known_webhooks(visit))


async def cancel(visit: Visit) -> web.StreamResponse:
    """End a replay."""
    id_ = visit.request.match_info["id"]
    await visit.ask("POST /v1/replays/{id}/cancel", id=id_)
    return visit.redirect(f"/replays/{id_}", note="Cancelled. What was sent was sent.")


async def _form(
    visit: Visit, form: Form, *, counted: Mapping[str, Any] | None = None
) -> web.StreamResponse:
    visit.caller.require("manage")
    day_ago = (visit.now - timedelta(days=1)).replace(microsecond=0)
    return visit.render(
        "replay_new.html",
        status=422 if form.faults else 200,
        at="/replays/new",
        form=form,
        counted=counted,
        choices=words.titles(await known_webhooks(visit)),
        day_ago=rfc3339(day_ago),
    )


def _body(visit: Visit) -> dict[str, Any]:
    """Return what was typed as the API takes it."""
    typed = {name: text.strip() for name, text in moments(visit.typed).items() if text.strip()}
    body: dict[str, Any] = {name: typed[name] for name in FIELDS if name in typed}
    body |= {name: number(typed[name]) for name in NUMBERS if name in typed}
    if "types" in typed:
        body["types"] = lines(typed["types"])
    return body
