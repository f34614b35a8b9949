"""The list of webhooks: how each is, pause and resume in place."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web

from services.dashboard import words
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339

ROWS = "25"
HOURS = 24
MOST = "500"
"""Webhooks that a list names; others have their id."""
STATS = "GET /v1/stats"
FILTERS = ("status", "url", "type", "cursor")


class Row(NamedTuple):
    """A webhook in the list."""

    webhook: Mapping[str, Any]
    total: Mapping[str, Any]
    """Of 24 hours."""
    hours: Sequence[float]
    """Acknowledged in each."""


async def index(visit: Visit) -> web.StreamResponse:
    """Show the webhooks of the project, newest first."""
    query = {name: text for name, text in visit.query.items() if name in FILTERS}
    asked = visit.scoped({"limit": ROWS, "backlog": "true", **query})
    found = await visit.ask("GET /v1/subscriptions", query=asked)
    rows = await asyncio.gather(*(_row(visit, webhook) for webhook in found["data"]))
    return visit.render(
        "webhooks.html",
        rows=rows,
        next=found["next"],
        used=len(query.keys() - {"cursor"}),
        statuses=[("", "Any state"), *((name, s.word) for name, s in words.STATUSES.items())],
    )


async def pause(visit: Visit) -> web.StreamResponse:
    """Stop sending."""
    await visit.ask("POST /v1/subscriptions/{id}/pause", id=visit.request.match_info["id"])
    return visit.redirect(_back(visit), note="Paused. Events wait in the log; nothing is lost.")


async def resume(visit: Visit) -> web.StreamResponse:
    """Send again."""
    await visit.ask("POST /v1/subscriptions/{id}/resume", id=visit.request.match_info["id"])
    return visit.redirect(_back(visit), note="Resumed. What waited is sent in order.")


async def _row(visit: Visit, webhook: Mapping[str, Any]) -> Row:
    stats = await visit.ask(STATS, query=last_hours(visit.now, subscription=webhook["id"]))
    delivered = {point["at"]: point["delivered"] for point in stats["data"]}
    hours = [float(delivered.get(at, 0)) for at in hours_of(stats)]
    return Row(webhook, stats["total"], hours)


async def known_webhooks(visit: Visit) -> Mapping[str, Mapping[str, Any]]:
    """Return the webhooks of the project by id, to name them where others are listed."""
    found = await visit.ask("GET /v1/subscriptions", query=visit.scoped({"limit": MOST}))
    return {webhook["id"]: webhook for webhook in found["data"]}


def last_hours(now: datetime, **query: str) -> dict[str, str]:
    """Return a query for the statistics of 24 hours, by the hour."""
    since = now - timedelta(hours=HOURS - 1)
    return {"step": "hour", "from": rfc3339(since), "to": rfc3339(now), **query}


def hours_of(stats: Mapping[str, Any]) -> list[str]:
    """Return the beginning of each step of an answer, those of which there is nothing too."""
    at, until = (datetime.fromisoformat(stats[name]) for name in ("from", "to"))
    found = []
    while at < until:
        found.append(rfc3339(at))
        at += timedelta(hours=1)
    return found


def _back(visit: Visit) -> str:
    """Return where the button was."""
    return (
        "/webhooks" if visit.typed.get("from") == "list" else visit.request.path.rpartition("/")[0]
    )
