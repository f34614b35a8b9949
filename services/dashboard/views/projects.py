"""Projects and their API keys: the operator's."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.control.access import SCOPES
from services.dashboard.forms import Form, number
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

ONE = "GET /v1/projects/{id}"
KEYS = "GET /v1/projects/{id}/api-keys"
KEY_FIELDS = {"/name": "f-key_name", "/scopes": "f-scopes", "/expires_at": "f-expires_at"}
FIELDS = {f"/{name}": f"f-{name}" for name in ("name", "coordinate_order", "max_subscriptions")}
ROWS = "50"
MEANINGS = {
    "ingest": "send events in",
    "read": "see webhooks, deliveries, events",
    "manage": "change webhooks, resend, replay; reads too",
}
ORDERS = (
    ("", "As declared: latitude, longitude"),
    ("lat_lng", "Latitude, longitude"),
    ("lng_lat", "Longitude, latitude (GeoJSON)"),
)


async def index(visit: Visit) -> web.StreamResponse:
    """Show all projects, newest first."""
    return await _index(visit, Form())


async def create(visit: Visit) -> web.StreamResponse:
    """Make a project, and go to it."""
    body = {"name": visit.typed.get("name", "").strip()}
    try:
        made = await visit.ask("POST /v1/projects", body=body, once=True)
    except FaultsError as error:
        return await _index(visit, Form(visit.typed, error.faults))
    return visit.redirect(f"/projects/{made['id']}", note="Made. Now it needs a key.")


async def one(visit: Visit) -> web.StreamResponse:
    """Show one project, its settings and keys."""
    return await _one(visit)


async def save(visit: Visit) -> web.StreamResponse:
    """Change its settings."""
    project = await visit.ask(ONE, id=_id(visit))
    body: dict[str, Any] = {"name": visit.typed.get("name", "").strip()}
    order = visit.typed.get("coordinate_order") or None
    if order != project["coordinate_order"]:
        body["coordinate_order"] = order
    most = number(visit.typed.get("max_subscriptions", ""))
    if most != project["max_subscriptions"]:
        body["max_subscriptions"] = most
    try:
        await visit.ask("PATCH /v1/projects/{id}", id=_id(visit), body=body)
    except FaultsError as error:
        return await _one(visit, form=Form(visit.typed, error.faults))
    return visit.redirect(f"/projects/{_id(visit)}", note="Saved.")


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete it with all that belongs to it."""
    await visit.ask("DELETE /v1/projects/{id}", id=_id(visit))
    if visit.session.project == _id(visit):
        visit.session = visit.session._replace(project=None)
    return visit.redirect("/projects", note="Deleted, with its webhooks and keys.")


async def create_key(visit: Visit) -> web.StreamResponse:
    """Make a key, and show it this once."""
    typed = visit.typed
    body: dict[str, Any] = {
        "name": typed.get("key_name", "").strip(),
        "scopes": [scope for scope in visit.several.get("scopes", ()) if scope in SCOPES],
    }
    if typed.get("expires_at", "").strip():
        body["expires_at"] = _end_of(typed["expires_at"].strip())
    route = "POST /v1/projects/{id}/api-keys"
    try:
        made = await visit.ask(route, id=_id(visit), body=body, once=True)
    except FaultsError as error:
        return await _one(visit, key_form=Form(typed, error.faults))
    response = await _one(visit, made=made)
    response.headers["Cache-Control"] = "no-store"
    return response


async def revoke(visit: Visit) -> web.StreamResponse:
    """Revoke a key at once."""
    route, key_id = "DELETE /v1/projects/{id}/api-keys/{key_id}", visit.request.match_info["key_id"]
    await visit.ask(route, id=_id(visit), key_id=key_id)
    return visit.redirect(
        f"/projects/{_id(visit)}", note="Revoked. Whoever uses that key is refused from now on."
    )


async def _index(visit: Visit, form: Form) -> web.StreamResponse:
    query = {name: text for name, text in visit.query.items() if name == "cursor"}
    found = await visit.ask("GET /v1/projects", query={"limit": ROWS, **query})
    return visit.render(
        "projects.html",
        at="/projects",
        status=422 if form.faults else 200,
        form=form,
        fields=FIELDS,
        rows=found["data"],
        next=found["next"],
    )


async def _one(
    visit: Visit,
    *,
    form: Form = Form(),  # noqa: B008 - it can't change
    key_form: Form = Form(),  # noqa: B008 - nor this
    made: Mapping[str, Any] | None = None,
) -> web.StreamResponse:
    shown = await visit.ask(ONE, id=_id(visit))
    query = {name: text for name, text in visit.query.items() if name == "cursor"}
    found = await visit.ask(KEYS, id=_id(visit), query={"limit": ROWS, **query})
    return visit.render(
        "project.html",
        at=f"/projects/{_id(visit)}",
        status=422 if form.faults or key_form.faults else 200,
        form=form,
        key_form=key_form,
        fields=FIELDS,
        key_fields=KEY_FIELDS,
        shown=shown,
        keys=found["data"],
        next=found["next"],
        made=made,
        scopes=[(scope, MEANINGS[scope]) for scope in SCOPES],
        orders=ORDERS,
    )


def _end_of(day: str) -> str:
    """Return the end of a day that a date field names; else what was typed, for the API to say."""
    return f"{day}T23:59:59.000Z" if len(day) == len("2026-03-17") else day


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]
