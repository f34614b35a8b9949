"""Signing in and out, the project, the theme, and what tells an open page that something happened."""

from urllib.parse import urlencode

from aiohttp import web

from services.control.access import UnauthorizedError, hash_key
from services.dashboard import draft
from services.dashboard.draft import HOME, safe
from services.dashboard.forms import Form
from services.dashboard.visit import THEME, THEMES, Visit
from services.kernel.errors import Fault

YEAR_SECONDS = 365 * 86_400
LIVE = "/live"
LEFT = "/portal"
"""Where whoever leaves a portal goes: to come back they need its link."""


async def home(visit: Visit) -> web.StreamResponse:
    """Go to the first page."""
    return visit.redirect(HOME)


async def sign_in(visit: Visit) -> web.StreamResponse:
    """Ask for an API key."""
    goal = safe(visit.query.get("next"))
    if visit.known is not None:
        return visit.redirect(goal)
    return asking(visit, goal)


async def signed_in(visit: Visit) -> web.StreamResponse:
    """Begin a session with a key that is valid; go where one was, or to the form that came too late."""
    key, goal = visit.typed.get("key", "").strip(), safe(visit.typed.get("next"))
    late = draft.read(visit.typed.get("draft"))
    fault = None if key else "Paste an API key: it begins with priv_, or is the operator's."
    if key:
        try:
            await visit.check_key(hash_key(key))
        except UnauthorizedError:
            fault = "No such key, or it has expired or was revoked. Ask who gave it to you."
    if fault is not None:
        return asking(visit, goal, late, fault=fault, status=401)
    visit.begin(hash_key(key))
    if late is None:
        return visit.redirect(goal)
    if not late.fields:
        return visit.redirect(late.at, note=draft.NOTE)
    return visit.render("again.html", draft=late)


def asking(
    visit: Visit,
    goal: str,
    late: draft.Draft | None = None,
    *,
    fault: str | None = None,
    status: int = 200,
) -> web.Response:
    """Return the page that asks for a key; *late* is what was typed when the session was over."""
    form = Form({}, [Fault("key", fault, "/key")] if fault else ())
    return visit.render("sign_in.html", status=status, form=form, next=goal, draft=late)


async def sign_out(visit: Visit) -> web.StreamResponse:
    """End the session."""
    was_link = visit.session.is_of_link
    visit.begin(None)
    if was_link:
        return visit.redirect(LEFT)
    return visit.redirect("/sign-in", note="You are signed out.")


async def project(visit: Visit) -> web.StreamResponse:
    """Choose the project to act for; none means all."""
    chosen = visit.typed.get("project") or None
    if chosen is not None:
        await visit.ask("GET /v1/projects/{id}", id=chosen)  # only the operator has a choice
    visit.session = visit.session._replace(project=chosen)
    return visit.redirect(safe(visit.typed.get("next")))


async def theme(visit: Visit) -> web.StreamResponse:
    """Keep whether pages are light or dark, or as the system is."""
    chosen = visit.typed.get("theme")
    response = visit.redirect(safe(visit.typed.get("next")), note=visit.session.note)
    if chosen in THEMES:
        response.set_cookie(THEME, chosen, max_age=YEAR_SECONDS, path="/", samesite="Lax")
    return response


async def live(visit: Visit) -> web.StreamResponse:
    """Tell of events and deliveries as they happen, as `GET /v1/stream` does."""
    return await visit.stream("GET /v1/stream")


def sign_in_at(visit: Visit) -> str:
    """Return where to sign in, and come back from."""
    if visit.request.method != "GET" or visit.request.path in ("/", HOME):
        return "/sign-in"
    return "/sign-in?" + urlencode({"next": visit.request.path_qs})
