"""The filter lab: a filter judged, tried on one event and on the past, before anybody keeps it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from services.dashboard import words
from services.dashboard.forms import Form, lines
from services.dashboard.times import utc
from services.dashboard.views.new_webhook import check, try_on_last
from services.dashboard.views.recent import recent
from services.dashboard.views.webhook_form import filter_of
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import Fault, FaultsError, NotFoundError
from services.match.types import selected

AT = "/filters"
FIELDS = {"/types": "f-types", "/filter": "f-filter", "/event": "f-event", "/from": "f-hours",
          "/subscription": "f-subscription", "/project_id": "project"}  # fmt: skip
WEBHOOKS = "100"
HOURS = (("1", "The last hour"), ("24", "The last day"), ("72", "The last three days"),
         ("168", "The last week"))  # fmt: skip


async def lab(visit: Visit) -> web.StreamResponse:
    """Show the lab; a link may bring a webhook's filter, and an event of the log."""
    given = {"types": "*"}
    if "webhook" in visit.query:
        webhook = await visit.ask("GET /v1/subscriptions/{id}", id=visit.query["webhook"])
        given["types"] = "\n".join(webhook["types"])
        given["filter"] = "" if webhook["filter"] is None else _pretty(webhook["filter"])
        given["subscription"] = webhook["id"]
    if "event" in visit.query:
        given["event"] = await _event(visit, visit.query["event"])
    return await _draw(visit, Form(given))


async def judge(visit: Visit) -> web.StreamResponse:
    """Judge the filter; explain it on the event that was picked or pasted, or on the last ones."""
    typed = dict(visit.typed)
    if typed.get("pick"):
        typed["event"] = await _event(visit, typed["pick"])
    body, faults = _body(visit)
    event, wrong = _pasted(typed.get("event", ""))
    faults += wrong
    judged = explained = None
    tried: Sequence[object] = ()
    if not faults:
        judged, faults = await check(visit, body)
    if not faults and event is None:
        tried = await try_on_last(visit, body)
    elif not faults:
        try:
            explained = await visit.ask("POST /v1/filters/explain", body={**body, "event": event})
        except FaultsError as error:
            faults = list(error.faults)
    form = Form(typed, faults)
    judged = None if faults else judged
    return await _draw(visit, form, judged=judged, explained=explained, tried=tried)


async def dry_run(visit: Visit) -> web.StreamResponse:
    """Begin to try the filter on the past."""
    body, faults = _body(visit)
    if not faults:
        hours = visit.typed.get("hours", "")
        known = hours if hours in dict(HOURS) else HOURS[0][0]
        body["from"] = rfc3339(visit.now - timedelta(hours=int(known)))
        if visit.typed.get("subscription"):
            body["subscription"] = visit.typed["subscription"]
        try:
            job = await visit.ask("POST /v1/filters/dry-run", body=body, once=True)
            return visit.redirect(f"{AT}/dry-runs/{job['id']}")
        except FaultsError as error:
            faults = list(error.faults)
    return await _draw(visit, Form(visit.typed, faults))


async def one(visit: Visit) -> web.StreamResponse:
    """Show a dry run: how far it is, and what it found."""
    job = await visit.ask("GET /v1/filters/dry-runs/{id}", id=_id(visit))
    named = job["question"]["subscription"]
    webhook = None
    if named is not None:
        try:
            webhook = await visit.ask("GET /v1/subscriptions/{id}", id=named)
        except NotFoundError:
            webhook = None  # deleted meanwhile: what was found stays
    return visit.render("dry_run.html", job=job, webhook=webhook, state=words.JOBS[job["state"]])


async def cancel(visit: Visit) -> web.StreamResponse:
    """End a dry run."""
    await visit.ask("POST /v1/filters/dry-runs/{id}/cancel", id=_id(visit))
    return visit.redirect(f"{AT}/dry-runs/{_id(visit)}", note="Cancelled.")


async def _draw(
    visit: Visit,
    form: Form,
    *,
    judged: Mapping[str, Any] | None = None,
    explained: Mapping[str, Any] | None = None,
    tried: Sequence[object] = (),
) -> web.StreamResponse:
    webhooks = await visit.ask("GET /v1/subscriptions", query=visit.scoped({"limit": WEBHOOKS}))
    patterns = [each for each in lines(form.value("types", "*")) if selected(each)]
    events = await recent(visit, patterns or ["*"])
    return visit.render(
        "filter_lab.html",
        at=AT,
        status=422 if form.faults else 200,
        form=form,
        fields=FIELDS,
        webhooks=[("", "None: what it would send alone"), *words.choices(webhooks["data"])],
        picks=[("", "None: the one below, or the last 20"), *map(_pick, events)],
        hours=HOURS,
        judged=judged,
        normal=None if judged is None or judged["normal"] is None else _pretty(judged["normal"]),
        explained=explained,
        tried=tried,
    )


def _body(visit: Visit) -> tuple[dict[str, Any], list[Fault]]:
    pattern, faults = filter_of(visit.typed.get("filter", ""))
    body = {**visit.scoped(), "types": lines(visit.typed.get("types", "")), "filter": pattern}
    return body, faults


def _pasted(text: str) -> tuple[object, list[Fault]]:
    """Return an event that was pasted, None where none was, and where it is no JSON."""
    if not text.strip():
        return None, []
    try:
        return orjson.loads(text), []
    except orjson.JSONDecodeError as error:
        message = f"line {error.lineno}, column {error.colno}: {error.msg}"
        return None, [Fault("json", message, "/event")]


async def _event(visit: Visit, where: str) -> str:
    """Return the event at topic/partition/offset of the log. Raises NotFoundError."""
    topic, _, rest = where.partition("/")
    partition, _, offset = rest.partition("/")
    route = "GET /v1/events/{topic}/{partition}/{offset}"
    found = await visit.ask(route, topic=topic, partition=partition, offset=offset)
    return _pretty(found["event"])


def _pick(entry: Mapping[str, Any]) -> tuple[str, str]:
    where = f"{entry['topic']}/{entry['partition']}/{entry['offset']}"
    at = utc(entry["produced_at"], "%-d %b, %H:%M:%S UTC")
    return where, f"{entry['type']} · {at} · {entry['key'] or entry['id']}"


def _pretty(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]
