"""One webhook: how it is and why, its settings, secrets, receiver, and who changed it."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from services.control.subscriptions import StaleError
from services.dashboard import charts, samples, words
from services.dashboard.forms import Form, number
from services.dashboard.views import webhook_form
from services.dashboard.views.webhooks import STATS, hours_of, last_hours
from services.dashboard.visit import Visit
from services.kernel.errors import ConflictError, Fault, FaultsError

GET = "GET /v1/subscriptions/{id}"
BACKLOG = "GET /v1/subscriptions/{id}/backlog"
LATEST = "100"
"""Failed attempts that causes are counted of."""
WAITING = "5"
ENTRIES = "25"


class Cause(NamedTuple):
    """How some of the latest attempts failed."""

    outcome: str
    status: int | None
    times: int
    last_at: str
    last: Mapping[str, Any]


async def overview(visit: Visit) -> web.StreamResponse:
    """Show how it is, why, and what happens next."""
    return visit.render("webhook.html", tested=None, **await _overview(visit))


async def test(visit: Visit) -> web.StreamResponse:
    """Send one example event, and show the answer."""
    tested = await visit.ask("POST /v1/subscriptions/{id}/test", id=_id(visit), once=True)
    at = f"/webhooks/{_id(visit)}"
    return visit.render("webhook.html", at=at, tested=tested, **await _overview(visit))


async def settings(visit: Visit) -> web.StreamResponse:
    """Show the settings as a form."""
    found = await visit.reply(GET, id=_id(visit))
    return visit.render("webhook_settings.html", **_settings(found.body, found.headers["ETag"]))


async def save(visit: Visit) -> web.StreamResponse:
    """Change what was changed in the form."""
    id_, tag = _id(visit), visit.typed.get("version", "*")
    found = await visit.reply(GET, id=id_)
    body, faults = webhook_form.body_of(visit.typed, visit.several, found.body)
    wrong = faults or await _patched(visit, id_, body, tag)
    if wrong:
        typed = {name: text for name, text in visit.typed.items() if name != "certificate_key"}
        form, shown = (
            Form(typed, wrong),
            _settings(found.body, tag),
        )  # no key goes back to a browser
        return visit.render("webhook_settings.html", status=422, form=form, **shown)
    return visit.redirect(
        f"/webhooks/{id_}/settings", note="Saved. It is in force within a second."
    )


async def _patched(visit: Visit, id_: str, body: Mapping[str, Any], tag: str) -> Sequence[Fault]:
    """Change a webhook as it was when the form was opened; return what is wrong with that."""
    route, headers = "PATCH /v1/subscriptions/{id}", {"If-Match": tag}
    try:
        await visit.reply(route, id=id_, body=body, headers=headers)
    except FaultsError as error:
        return error.faults
    except StaleError:
        return [Fault("stale", "Somebody changed this webhook meanwhile: open its settings anew.")]
    return ()


async def delete(visit: Visit) -> web.StreamResponse:
    """Delete it with what waits for it."""
    await visit.ask("DELETE /v1/subscriptions/{id}", id=_id(visit))
    return visit.redirect("/webhooks", note="Deleted, with what waited for it.")


async def secrets(visit: Visit) -> web.StreamResponse:
    """Show which secrets sign, and until when."""
    return visit.render("webhook_secrets.html", made=None, **await _secrets(visit))


async def rotate(visit: Visit) -> web.StreamResponse:
    """Make a new secret, and show it this once."""
    id_, typed = _id(visit), visit.typed.get("overlap_hours", "")
    route, page = "POST /v1/subscriptions/{id}/secrets/rotate", "webhook_secrets.html"
    at, made, form, known = f"/webhooks/{id_}/secrets", None, Form(), samples.samples()
    try:
        made = await visit.ask(route, id=id_, body={"overlap_hours": number(typed)}, once=True)
    except FaultsError as error:
        form = Form(visit.typed, error.faults)
    status = 422 if form.faults else 200
    found = await _secrets(visit)
    return visit.render(page, status=status, at=at, form=form, made=made, samples=known, **found)


async def end_secret(visit: Visit) -> web.StreamResponse:
    """End one secret now."""
    id_, secret_id = _id(visit), visit.request.match_info["secret_id"]
    route = "DELETE /v1/subscriptions/{id}/secrets/{secret_id}"
    try:
        await visit.ask(route, id=id_, secret_id=secret_id)
    except ConflictError as error:
        return visit.redirect(f"/webhooks/{id_}/secrets", note=f"Not ended: {error}.")
    return visit.redirect(f"/webhooks/{id_}/secrets", note="Ended: it signs nothing any more.")


async def receiver(visit: Visit) -> web.StreamResponse:
    """Show a receiver that verifies this webhook's signatures, in a language that was chosen.

    Asked by a form it has the secret, which whoever was just shown it sends along.
    """
    found = await visit.ask(GET, id=_id(visit))
    known = samples.samples()
    chosen = visit.typed.get("language") or visit.query.get("language")
    secret = visit.typed.get("secret") or None
    sample = next((each for each in known if each.name == chosen), known[0])
    response = visit.render(
        "webhook_receiver.html",
        at=f"/webhooks/{found['id']}/receiver",
        webhook=found,
        samples=known,
        sample=sample,
        secret=secret,
        filled=samples.filled(
            sample, url=found["url"], public=found["signature"] == "v1a", secret=secret
        ),
    )
    if secret is not None:
        response.headers["Cache-Control"] = "no-store"
    return response


async def audit(visit: Visit) -> web.StreamResponse:
    """Show who changed it, before and after."""
    webhook = await visit.ask(GET, id=_id(visit))
    query = {"object": webhook["id"], "limit": ENTRIES}
    if "cursor" in visit.query:
        query["cursor"] = visit.query["cursor"]
    found = await visit.ask("GET /v1/audit", query=query)
    return visit.render(
        "webhook_audit.html", webhook=webhook, entries=found["data"], next=found["next"]
    )


async def _overview(visit: Visit) -> dict[str, Any]:
    id_ = _id(visit)
    webhook = await visit.ask(GET, id=id_)
    stats, failures, waiting, backlog = await asyncio.gather(
        visit.ask(STATS, query=last_hours(visit.now, subscription=id_)),
        _failures(visit, id_),
        visit.ask(
            "GET /v1/deliveries",
            query={"subscription": id_, "state": "parked", "limit": WAITING},
        ),
        _backlog(visit, id_),
    )
    return {
        "webhook": webhook,
        "health": words.health(webhook, stats["total"]),
        "standing": words.standing(webhook, backlog),
        "total": stats["total"],
        "backlog": backlog,
        "causes": failures,
        "waiting": waiting["data"],
        **_charts(stats),
    }


def _charts(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return results, receiver time and how late events arrived by the hour, gaps filled."""
    times = hours_of(stats)
    points = {point["at"]: point for point in stats["data"]}
    results = [
        [points[at][name] if at in points else 0 for at in times]
        for name in ("delivered", "failed")
    ]
    receiver_ms, late_ms = (
        [
            [points[at][what][name] if at in points else None for at in times]
            for name in ("p50", "p95", "p99")
        ]
        for what in ("receiver_ms", "end_to_end_ms")
    )
    return {
        "times": times,
        "results": results,
        "results_chart": charts.stacked(results),
        "receiver_ms": receiver_ms,
        "receiver_chart": charts.lines(receiver_ms),
        "late_ms": late_ms,
        "late_chart": charts.lines(late_ms),
    }


async def _failures(visit: Visit, id_: str) -> Sequence[Cause]:
    """Return how the latest failed, the most frequent first."""
    found = await asyncio.gather(
        *(
            visit.ask(
                "GET /v1/attempts", query={"subscription": id_, "verdict": each, "limit": LATEST}
            )
            for each in ("retry", "dead", "disable")
        )
    )
    failed = [attempt for page in found for attempt in page["data"]]
    failed.sort(key=lambda attempt: str(attempt["started_at"]), reverse=True)
    counts = Counter((attempt["outcome"], attempt["status"]) for attempt in failed)
    newest: dict[tuple[str, int | None], Mapping[str, Any]] = {}
    for attempt in failed:
        newest.setdefault((attempt["outcome"], attempt["status"]), attempt)
    return [
        Cause(outcome, status, count, last["started_at"], last)
        for (outcome, status), count in counts.most_common()
        for last in [newest[outcome, status]]
    ]


async def _backlog(visit: Visit, id_: str) -> Mapping[str, Any] | None:
    """Return where it stands in the log; None where nobody can say at the moment."""
    if not visit.has(BACKLOG):
        return None
    found: Mapping[str, Any] = await visit.ask(BACKLOG, id=id_)
    return found


async def _secrets(visit: Visit) -> dict[str, Any]:
    webhook, found = await asyncio.gather(
        visit.ask(GET, id=_id(visit)),
        visit.ask("GET /v1/subscriptions/{id}/secrets", id=_id(visit)),
    )
    return {"webhook": webhook, "secrets": found["data"]}


def _settings(webhook: Mapping[str, Any], tag: str) -> dict[str, Any]:
    return {
        "webhook": webhook,
        "version": tag,
        "shown": webhook_form.values_of(webhook),
        "choices": webhook_form.CHOICES,
        "fields": webhook_form.FIELDS,
        "aging": webhook_form.aging(webhook),
    }


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]
