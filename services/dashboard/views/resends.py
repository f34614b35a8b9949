"""Deliveries sent again by filter: an estimate first, then a job with its progress."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from services.dashboard.forms import Form, moments, number
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

CREATE = "POST /v1/resends"
ONE = "GET /v1/resends/{id}"
ROWS = "25"
FIELDS = ("subscription", "state", "outcome", "status", "type", "from", "to")
"""Of the filter, as the form has them."""


async def index(visit: Visit) -> web.StreamResponse:
    """Show what was sent again, newest first."""
    query = {
        "limit": ROWS,
        **{name: visit.query[name] for name in ("cursor",) if name in visit.query},
    }
    found = await visit.ask("GET /v1/resends", query=query)
    return visit.render("resends.html", jobs=found["data"], next=found["next"])


async def new(visit: Visit) -> web.StreamResponse:
    """Say how many a filter names, and offer to send them again."""
    asked = {name: text for name, text in visit.query.items() if name != "cursor"}
    return await _offered(visit, asked)


async def create(visit: Visit) -> web.StreamResponse:
    """Send them again."""
    asked = {name: text for name, text in visit.typed.items() if text.strip()}
    try:
        job = await visit.ask(CREATE, body=_body(visit, asked), once=True)
    except FaultsError as error:
        return await _offered(visit, asked, error)
    if "id" not in job:
        return visit.redirect("/resends", note="There was nothing to resend.")
    return visit.redirect(f"/resends/{job['id']}")


async def one(visit: Visit) -> web.StreamResponse:
    """Show how far a job is."""
    job = await visit.ask(ONE, id=visit.request.match_info["id"])
    return visit.render("resend.html", job=job)


async def cancel(visit: Visit) -> web.StreamResponse:
    """End a job."""
    id_ = visit.request.match_info["id"]
    await visit.ask("POST /v1/resends/{id}/cancel", id=id_)
    return visit.redirect(f"/resends/{id_}", note="Cancelled. What was handed over is still sent.")


async def _offered(
    visit: Visit, asked: Mapping[str, str], error: FaultsError | None = None
) -> web.StreamResponse:
    among: Mapping[str, Any] | None = None
    faults = () if error is None else error.faults
    if error is None:
        try:
            among = await visit.ask(CREATE, body={**_body(visit, asked), "dry_run": True})
        except FaultsError as refused:
            faults = refused.faults
    return visit.render(
        "resend_new.html",
        status=422 if faults else 200,
        at="/resends/new" + ("?" + urlencode(asked) if asked else ""),
        form=Form(asked, faults),
        asked=asked,
        among=among,
        webhooks=await known_webhooks(visit),
        fields=FIELDS,
    )


def _body(visit: Visit, asked: Mapping[str, str]) -> dict[str, object]:
    """Return what the API is asked for; what it doesn't know it says itself."""
    body: dict[str, object] = {**visit.scoped(moments(asked))}
    if "rate" in asked:
        body["rate"] = number(asked["rate"])
    return body
