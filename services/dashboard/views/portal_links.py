"""Ways in for one customer: links to their webhooks alone, made, listed and revoked."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.dashboard.forms import Form, lines, number
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

AT = "/portal-links"
CREATE = "POST /v1/portal-links"
ROWS = "25"
ALL = "all"
LOOKS = ("accent", "logo_url")
SHOWS = ((ALL, "All of this project, later ones too"), ("chosen", "Only the webhooks ticked below"))
MAY = (("manage", "Look and change"), ("read", "Look only"))
LIFETIMES = (
    (3_600, "An hour"),
    (86_400, "A day"),
    (7 * 86_400, "A week"),
    (30 * 86_400, "30 days"),
    (365 * 86_400, "A year"),
)
USUAL = 7 * 86_400
FIELDS = {
    "/subscriptions": "f-subscriptions", "/expires_in": "f-expires_in", "/origins": "f-origins",
    "/theme/accent": "f-accent", "/theme/logo_url": "f-logo_url", "/project_id": "project",
}  # fmt: skip
"""Where what is wrong with the body is mended."""


async def index(visit: Visit) -> web.StreamResponse:
    """Show the links that hold, and offer to make one; the address may name a webhook for it."""
    visit.several = {"subscriptions": [visit.query.get("subscription", "")]}
    return await _index(visit, Form())


async def create(visit: Visit) -> web.StreamResponse:
    """Make a link, and show it this once."""
    host = {"Host": visit.request.host}  # where nothing is configured, links lead to where we are
    try:
        made = await visit.reply(CREATE, body=_body(visit), headers=host, once=True)
    except FaultsError as error:
        return await _index(visit, Form(visit.typed, error.faults))
    visit.several = {}
    response = await _index(visit, Form(), made=made.body)
    response.headers["Cache-Control"] = "no-store"
    return response


async def revoke(visit: Visit) -> web.StreamResponse:
    """End a link, and who is in through it."""
    await visit.ask("DELETE /v1/portal-links/{id}", id=visit.request.match_info["id"])
    return visit.redirect(AT, note="Revoked. Whoever was in through it is out.")


async def _index(
    visit: Visit, form: Form, *, made: Mapping[str, Any] | None = None
) -> web.Response:
    visit.caller.require("manage")
    query = {name: text for name, text in visit.query.items() if name == "cursor"}
    found = await visit.ask("GET /v1/portal-links", query=visit.scoped({"limit": ROWS, **query}))
    return visit.render(
        "portal_links.html",
        at=AT,
        status=422 if form.faults else 200,
        form=form,
        fields=FIELDS,
        made=made,
        links=found["data"],
        next=found["next"],
        webhooks=await known_webhooks(visit),
        chosen=visit.several.get("subscriptions", ()),
        shows=SHOWS,
        may=MAY,
        lifetimes=LIFETIMES,
        usual=USUAL,
    )


def _body(visit: Visit) -> dict[str, Any]:
    """Return what was typed as the API takes it. A link to all is asked for by name alone."""
    typed = visit.typed
    body: dict[str, Any] = {
        **visit.scoped(),
        "expires_in": number(typed.get("expires_in", "")),
        "scopes": ["read"] if typed.get("may") == "read" else ["read", "manage"],
    }
    if typed.get("shows") != ALL:
        body["subscriptions"] = list(visit.several.get("subscriptions", ()))
    origins = lines(typed.get("origins", ""))
    if origins:
        body["origins"] = origins
    theme = {name: typed[name].strip() for name in LOOKS if typed.get(name, "").strip()}
    if theme:
        body["theme"] = theme
    return body
