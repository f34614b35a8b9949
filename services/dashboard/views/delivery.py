"""One delivery: its attempts, the request and the answer, a signature checked, and sent again."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from services.dashboard import curl, hints, timeline, words
from services.dashboard.forms import Form
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.deliver import verify as rules
from services.kernel.errors import ConflictError, Fault, FaultsError, NotFoundError

GET = "GET /v1/deliveries/{id}"
RESEND = "POST /v1/deliveries/{id}/resend"
MASK = "…"
"""In the value of a static header."""
SECRETS = "GET /v1/subscriptions/{id}/secrets"


async def one(visit: Visit) -> web.StreamResponse:
    """Show what happened, and what it usually means."""
    return visit.render("delivery.html", **await _happened(visit))


async def request(visit: Visit) -> web.StreamResponse:
    """Show the request as it was sent, as curl, and check a signature."""
    return visit.render("delivery_request.html", checked=None, **await _sent(visit))


async def verify(visit: Visit) -> web.StreamResponse:
    """Say whether what a receiver got is signed with the secret that it has."""
    checked, form = None, Form(visit.typed)
    try:
        checked = _verified(visit)
    except FaultsError as error:
        form = Form(visit.typed, error.faults)
    status = 422 if form.faults else 200
    at, shown = f"/deliveries/{_id(visit)}/request", await _sent(visit)
    return visit.render(
        "delivery_request.html", status=status, at=at, form=form, checked=checked, **shown
    )


async def resend(visit: Visit) -> web.StreamResponse:
    """Send it again: to whom it went, or to another webhook."""
    id_, to = _id(visit), visit.typed.get("to", "")
    try:
        job = await visit.ask(RESEND, id=id_, body={"to": to} if to else {}, once=True)
    except FaultsError as error:
        form = Form(visit.typed, error.faults)
    except ConflictError as error:
        form = Form(visit.typed, [Fault("conflict", str(error))])
    else:
        return visit.redirect(f"/resends/{job['id']}?delivery={id_}", note="It is sent again.")
    at, shown = f"/deliveries/{id_}", await _happened(visit)
    return visit.render("delivery.html", status=422, at=at, **{**shown, "form": form})


async def _happened(visit: Visit) -> dict[str, Any]:
    found = await visit.ask(GET, id=_id(visit))
    attempts = found["attempts"]
    scale = timeline.longest(attempts)
    webhooks = await known_webhooks(visit)
    return {
        "delivery": found,
        "attempts": [(each, timeline.phases(each, scale)) for each in reversed(attempts)],
        "hint": await _hint(visit, attempts[-1]),
        "webhooks": webhooks,
        "others": [
            (id_, words.title(webhooks, id_))
            for id_, each in webhooks.items()
            if id_ != found["subscription_id"] and each["project_id"] == found["project_id"]
        ],
        "form": Form(),
    }


async def _hint(visit: Visit, attempt: Mapping[str, Any]) -> str:
    """Return what a failure usually means; for one of the signature, when the secret was changed."""
    if attempt["outcome"] == "ok":
        return ""
    if attempt["status"] not in hints.OF_SIGNATURE:
        return hints.hint(attempt)
    try:
        found = await visit.ask(SECRETS, id=attempt["subscription_id"])
    except NotFoundError:
        return hints.hint(attempt)
    return hints.of_rotation(attempt, found["data"]) or hints.hint(attempt)


async def _sent(visit: Visit) -> dict[str, Any]:
    found = await visit.ask(GET, id=_id(visit))
    command, sent = None, found["request"]
    if sent is not None and visit.may("manage"):
        anew = await visit.ask(GET, id=_id(visit), query={"signed": "now"})
        command = curl.command(anew["request"]) if anew["request"] else None
    return {
        "delivery": found,
        "webhooks": await known_webhooks(visit),
        "sent": sent,
        "headers": _lines(sent["headers"]) if sent else "",
        "curl": command,
        "masked": sent is not None and any(MASK in text for text in sent["headers"].values()),
    }


def _lines(headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _verified(visit: Visit) -> rules.Verification:
    """Check what was typed, as of the moment that it names. Raises FaultsError."""
    faults: list[Fault] = []
    # Forms send every line end as CR LF; a body of several lines had LF.
    body = visit.typed.get("body", "").replace("\r\n", "\n").encode()
    verifier, headers = None, {}
    try:
        verifier = rules.parse(visit.typed.get("secret", "").strip())
    except ValueError as error:
        faults.append(Fault("secret", str(error), "/secret"))
    try:
        headers = rules.read_headers(visit.typed.get("headers", "").encode())
    except ValueError as error:
        faults.append(Fault("headers", str(error), "/headers"))
    if verifier is None or faults:
        raise FaultsError("The request can't be checked", faults)
    return rules.verify(verifier, headers=headers, body=body, now=0.0, tolerance=0.0)


def _id(visit: Visit) -> str:
    return visit.request.match_info["id"]
