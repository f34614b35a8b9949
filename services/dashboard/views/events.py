"""The log as a journal; and one event: who got it, who didn't, and what said no."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from services import catalogue
from services.dashboard import words
from services.dashboard.forms import Form, moments
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import FaultsError

LIST = "GET /v1/events"
ONE = "GET /v1/events/{topic}/{partition}/{offset}"
MATCHES = ONE + "/matches"
ROWS = "25"
MOST = "500"
SHOWN = 50
"""Webhooks that didn't get an event."""
BACK = timedelta(hours=1)
"""Where the journal begins unless it is told."""


async def index(visit: Visit) -> web.StreamResponse:
    """Show the log from a time on, oldest first."""
    query = {"limit": ROWS, **moments(visit.query, ["time"])}
    if "after" not in query:
        query.setdefault("time", rfc3339(visit.now - BACK))
    form = Form(visit.query)
    found: Mapping[str, Any] = {"data": [], "next": None, "gaps": []}
    try:
        found = await visit.ask(LIST, query=visit.scoped(query))
    except FaultsError as error:
        form = Form(visit.query, error.faults)
    return visit.render(
        "events.html",
        status=422 if form.faults else 200,
        form=form,
        found=found,
        used=len(visit.query.keys() & {"time", "type", "key", "subscription"}),
        since=query.get("time"),
        webhooks=await known_webhooks(visit),
    )


async def one(visit: Visit) -> web.StreamResponse:
    """Show an event, and for each webhook what became of it or which clause said no."""
    where = visit.request.match_info
    topic, partition, offset = where["topic"], where["partition"], where["offset"]
    event = await visit.ask(ONE, topic=topic, partition=partition, offset=offset)
    matches = await visit.ask(MATCHES, topic=topic, partition=partition, offset=offset)
    sent = await visit.ask("GET /v1/deliveries", query={"event_id": event["id"], "limit": MOST})
    deliveries = {each["subscription_id"]: each for each in reversed(sent["data"])}  # the newest
    webhooks = await known_webhooks(visit)
    is_stream = catalogue.is_stream(event["type"])
    answers = [_answer(each, deliveries, webhooks, is_stream=is_stream) for each in matches["data"]]
    gone = deliveries.keys() - {each["subscription_id"] for each in matches["data"]}
    without = [each for each in answers if each["delivery"] is None]
    # Who chose the type and didn't get it comes first: that is what people look for.
    not_sent = sorted(
        (each for each in without if not each["match"]), key=lambda each: each["reason"] == "type"
    )
    return visit.render(
        "event.html",
        event=event,
        got=[each for each in answers if each["delivery"] is not None],
        # Of more deliveries than one answer has, nobody can say here who is still to get it.
        due=[each for each in without if each["match"]] if sent["next"] is None else [],
        not_sent=not_sent[:SHOWN],
        more=len(not_sent[SHOWN:]),
        gone=[deliveries[id_] for id_ in gone],
        text=orjson.dumps(event["event"], option=orjson.OPT_INDENT_2).decode(),
    )


def _answer(
    match: Mapping[str, Any],
    deliveries: Mapping[str, Mapping[str, Any]],
    webhooks: Mapping[str, Mapping[str, Any]],
    *,
    is_stream: bool,
) -> Mapping[str, Any]:
    id_ = match["subscription_id"]
    name = words.title(webhooks, id_) if id_ in webhooks else words.host(match["url"])
    webhook = webhooks.get(id_)
    replaces = webhook is not None and (
        webhook["delivery"]["mode"] == "latest" or bool(webhook["max_age_seconds"])
    )
    folds = is_stream and replaces
    return {**match, "name": name, "delivery": deliveries.get(id_), "folds": folds}
