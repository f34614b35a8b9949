"""The list of deliveries: live, by all filters of the API, as an address to share, and exported."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from services.dashboard import became
from services.dashboard.forms import Form, moments
from services.dashboard.views.find import about_of
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import FaultsError

LIST = "GET /v1/deliveries"
ROWS = "25"
ABOUT = tuple(name for name, _ in became.ABOUT)
"""What a delivery is looked for by: a choice and one field on the page, a parameter each in the API."""
ANY = ("any", "Whatever it is")
BY, ID = "by", "id"
TAILED = ("subscription", "type", "outcome", "project_id")
"""What the live stream filters by too; what else is asked for, the fresh copy filters."""
SPANS = (("Last hour", timedelta(hours=1)), ("Last day", timedelta(days=1)))


async def index(visit: Visit) -> web.StreamResponse:
    """Show deliveries, newest first."""
    if BY in visit.query or ID in visit.query:
        return await _canonical(visit)
    form = Form(visit.query)
    found: Mapping[str, Any] = {"data": [], "next": None}
    try:
        found = await visit.ask(LIST, query=visit.scoped({"limit": ROWS, **moments(visit.query)}))
    except FaultsError as error:
        form = Form(visit.query, error.faults)
    is_first = "cursor" not in visit.query and not form.faults
    return visit.render(
        "deliveries.html",
        status=422 if form.faults else 200,
        form=form,
        rows=found["data"],
        next=found["next"],
        webhooks=await known_webhooks(visit),
        filters=_filters(visit),
        about=next((name for name in ABOUT if name in visit.query), ANY[0]),
        kinds=[ANY, *became.ABOUT],
        spans=[(name, rfc3339(visit.now - length)) for name, length in SPANS],
        is_first=is_first,
        live=_live(visit) if is_first else None,
    )


async def export_csv(visit: Visit) -> web.StreamResponse:
    """Stream all deliveries that the filters of the address name, as CSV."""
    return await visit.stream(LIST, accept="text/csv", name="deliveries.csv")


async def export_ndjson(visit: Visit) -> web.StreamResponse:
    """Stream them as a JSON object a line."""
    return await visit.stream(LIST, accept="application/x-ndjson", name="deliveries.ndjson")


async def _canonical(visit: Visit) -> web.StreamResponse:
    """Go to the address with the API's own parameters, and none that is empty."""
    query = {name: text for name, text in visit.query.items() if name not in (BY, ID, *ABOUT)}
    by, id_ = visit.query.get(BY), visit.query.get(ID, "").strip()
    if id_:
        query[by if by in ABOUT else await about_of(visit, id_) or ABOUT[0]] = id_
    return visit.redirect("/deliveries" + ("?" + urlencode(query) if query else ""))


def _filters(visit: Visit) -> Mapping[str, Any]:
    """Return what narrows the list, as the API reads it: pages of it aside."""
    return {name: text for name, text in moments(visit.query).items() if name != "cursor"}


def _live(visit: Visit) -> str | None:
    """Return where an open page hears that something happened; None: a stream is of one webhook."""
    query = visit.scoped(visit.query)
    if len(visit.caller.webhooks or ()) > 1 and "subscription" not in query:
        return None
    asked = {name: query[name] for name in TAILED if name in query}
    return "/live?" + urlencode({"of": "deliveries", **asked})
