"""Who changed what, before and after, and when."""

from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web

from services.dashboard import noted, words
from services.dashboard.forms import Form, moments
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

ROWS = "50"
FILTERS = ("actor", "action", "object_type", "object", "from", "to", "cursor")
OBJECTS = (
    "subscription", "api_key", "portal_link", "project", "geofence", "replay", "resend",
    "dead_letters",
)  # fmt: skip


async def index(visit: Visit) -> web.StreamResponse:
    """Show the entries that the address asks for, newest first."""
    query = {name: text for name, text in visit.query.items() if name in FILTERS}
    form = Form(query)
    found: dict[str, Any] = {"data": [], "next": None}
    try:
        found = await visit.ask(
            "GET /v1/audit", query=visit.scoped({"limit": ROWS, **moments(query)})
        )
    except FaultsError as error:
        form = Form(query, error.faults)
    return visit.render(
        "audit.html",
        status=422 if form.faults else 200,
        form=form,
        entries=found["data"],
        next=found["next"],
        noted=noted,
        webhooks=await known_webhooks(visit),
        used=len(query.keys() - {"cursor"}),
        actions=_choices("Any action", words.DONE, query.get("action"), words.done),
        objects=_choices("Anything", OBJECTS, query.get("object_type"), words.thing),
    )


def _choices(
    whatever: str, known: Iterable[str], asked: str | None, shown: Callable[[str], str]
) -> list[tuple[str, str]]:
    """Return what to choose from; what an address asks for stays, though nobody knows it."""
    names = dict.fromkeys((*known, *([asked] if asked else [])))
    return [("", whatever), *((name, words.sentence(shown(name))) for name in names)]
