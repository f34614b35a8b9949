"""Who changed what, before and after, and when."""

from typing import Any

from aiohttp import web

from services.dashboard import words
from services.dashboard.forms import Form
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

ROWS = "50"
FILTERS = ("actor", "action", "object_type", "object", "from", "to", "cursor")
OBJECTS = (
    "subscription", "api_key", "portal_link", "project", "geofence", "replay", "resend",
    "dead_letters",
)  # fmt: skip
ACTIONS = (
    "create", "update", "delete", "pause", "resume", "rotate", "end_secret", "release_key", "cancel",
    "discard", "revoke",
)  # fmt: skip


async def index(visit: Visit) -> web.StreamResponse:
    """Show the entries that the address asks for, newest first."""
    query = {name: text for name, text in visit.query.items() if name in FILTERS}
    form = Form(query)
    found: dict[str, Any] = {"data": [], "next": None}
    asked = {
        name: _moment(text) if name in ("from", "to") else text for name, text in query.items()
    }
    try:
        found = await visit.ask("GET /v1/audit", query=visit.scoped({"limit": ROWS, **asked}))
    except FaultsError as error:
        form = Form(query, error.faults)
    return visit.render(
        "audit.html",
        status=422 if form.faults else 200,
        form=form,
        entries=found["data"],
        next=found["next"],
        is_filtered=bool(query.keys() - {"cursor"}),
        actions=_choices("Any action", ACTIONS, query.get("action")),
        objects=_choices("Anything", OBJECTS, query.get("object_type")),
    )


def _choices(whatever: str, known: tuple[str, ...], asked: str | None) -> list[tuple[str, str]]:
    """Return what to choose from; what an address asks for stays, though nobody knows it."""
    names = dict.fromkeys((*known, *([asked] if asked else [])))
    return [("", whatever), *((name, words.thing(name)) for name in names)]


def _moment(text: str) -> str:
    """Return a time as the API reads it, of a day alone or what a browser's field says; UTC."""
    if len(text) == len("2026-03-17"):
        return f"{text}T00:00:00.000Z"
    if len(text) == len("2026-03-17T09:40"):
        return f"{text}:00.000Z"
    return text
