"""Whatever id somebody has: what it is of, and the page that says what became of it."""

import asyncio
from urllib.parse import quote

from aiohttp import web

from services.dashboard.became import ABOUT
from services.dashboard.visit import Visit
from services.kernel.errors import NotFoundError
from services.kernel.ids import is_id

LIST = "GET /v1/deliveries"
ONE = {
    "GET /v1/subscriptions/{id}": "/webhooks/{id}",
    "GET /v1/deliveries/{id}": "/deliveries/{id}",
    "GET /v1/attempts/{id}": "/deliveries/{delivery_id}",
    "GET /v1/replays/{id}": "/replays/{id}",
    "GET /v1/resends/{id}": "/resends/{id}",
}
"""What has an id of its own, and its page."""
OF_ANYBODY = ("event_id", "external_id")
"""Ids that producers choose: the others are all 24 hex."""
NOTHING = (
    "Nothing here has this id, neither a webhook nor anything that was sent. An event that no webhook"
    " wanted has no delivery: look for it among the events, by its time."
)


async def index(visit: Visit) -> web.StreamResponse:
    """Go to what an id is of: a webhook, a delivery, or all that was sent about a stop."""
    id_ = visit.query.get("id", "").strip()
    if not id_:
        return visit.redirect("/deliveries")
    if is_id(id_):
        pages = await asyncio.gather(*(_page(visit, route, id_) for route in ONE))
        found = next((page for page in pages if page is not None), None)
        if found is not None:
            return visit.redirect(found)
    about = await about_of(visit, id_)
    note = NOTHING if about is None else None
    return visit.redirect(f"/deliveries?{about or OF_ANYBODY[0]}={quote(id_, safe='')}", note=note)


async def about_of(visit: Visit, id_: str) -> str | None:
    """Return as which parameter deliveries have *id_*; None: as none."""
    names = [name for name, _ in ABOUT if is_id(id_) or name in OF_ANYBODY]
    pages = await asyncio.gather(
        *(visit.ask(LIST, query=visit.scoped({name: id_, "limit": "1"})) for name in names)
    )
    return next((name for name, page in zip(names, pages, strict=True) if page["data"]), None)


async def _page(visit: Visit, route: str, id_: str) -> str | None:
    try:
        found = await visit.ask(route, id=id_)
    except NotFoundError:
        return None
    return ONE[route].format_map(found)
