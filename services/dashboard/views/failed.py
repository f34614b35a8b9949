"""What was given up, by cause: fix and send a group again, or discard it with a reason."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from services.dashboard import hints
from services.dashboard.forms import Form, moments
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.errors import FaultsError

CAUSES = "GET /v1/dead-letters"
DISCARD = "POST /v1/dead-letters/discard"
COUNT = "POST /v1/resends"
SHOWN = ("subscription", "type", "from", "to")
"""Filters that the page has fields for."""
FILTERS = ("subscription", "outcome", "status", "type", "from", "to", "project_id")


async def index(visit: Visit) -> web.StreamResponse:
    """Show who failed how, the most first."""
    form, causes = Form(visit.query), []
    try:
        found = await visit.ask(
            CAUSES, query=visit.scoped({**moments(visit.query), "group_by": "cause"})
        )
        causes = found["data"]
    except FaultsError as error:
        form = Form(visit.query, error.faults)
    return visit.render(
        "failed.html",
        status=422 if form.faults else 200,
        form=form,
        used=len(visit.query.keys() & set(SHOWN)),
        groups=[_group(cause) for cause in causes],
        count=sum(cause["count"] for cause in causes),
        webhooks=await known_webhooks(visit),
    )


async def discarding(visit: Visit) -> web.StreamResponse:
    """Ask for the reason, and say how many are meant."""
    return await _discarding(visit, Form(visit.query))


async def discard(visit: Visit) -> web.StreamResponse:
    """Let go of a group."""
    body = visit.scoped({name: text for name, text in visit.typed.items() if name in FILTERS})
    try:
        done = await visit.ask(DISCARD, body={**body, "reason": visit.typed.get("reason")})
    except FaultsError as error:
        return await _discarding(visit, Form(visit.typed, error.faults))
    count = done["discarded"]
    return visit.redirect("/failed", note=f"Discarded {count:,}; the reason is in the audit.")


async def _discarding(visit: Visit, form: Form) -> web.StreamResponse:
    asked = {name: form.values[name] for name in FILTERS if form.values.get(name)}
    among = await visit.ask(COUNT, body={**visit.scoped(asked), "dry_run": True})
    return visit.render(
        "discard.html",
        status=422 if form.faults else 200,
        at="/failed/discard",
        form=form,
        asked=asked,
        among=among,
        webhooks=await known_webhooks(visit),
    )


def _group(cause: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a group with what it means, and the filter that names it.

    One without an outcome has none: nothing was tried, and no filter says so.
    """
    named = {
        name: str(cause[name])
        for name in ("subscription_id", "outcome", "status")
        if cause[name] is not None
    }
    named["subscription"] = named.pop("subscription_id")
    return {
        **cause,
        "filter": urlencode(named) if cause["outcome"] is not None else None,
        "hint": hints.hint(cause) if cause["outcome"] is not None else "",
    }
