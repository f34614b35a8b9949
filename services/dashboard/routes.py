"""Every page in one table."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from aiohttp import web

from services.dashboard.views import event_types, session, webhook, webhooks
from services.dashboard.visit import Visit

Page: TypeAlias = Callable[[Visit], Awaitable[web.StreamResponse]]


class Route(NamedTuple):
    """One verb on one path. A `POST` is a form: its origin and token are checked before the page."""

    method: str
    path: str
    page: Page
    open: bool = False
    """Whether nobody has to be signed in."""


ROUTES: Sequence[Route] = (
    Route("GET", "/", session.home),
    Route("GET", "/sign-in", session.sign_in, open=True),
    Route("POST", "/sign-in", session.signed_in, open=True),
    Route("POST", "/sign-out", session.sign_out),
    Route("POST", "/theme", session.theme, open=True),
    Route("POST", "/project", session.project),
    Route("GET", "/live", session.live),
    Route("GET", "/webhooks", webhooks.index),
    Route("POST", "/webhooks/{id}/pause", webhooks.pause),
    Route("POST", "/webhooks/{id}/resume", webhooks.resume),
    Route("GET", "/webhooks/{id}", webhook.overview),
    Route("GET", "/webhooks/{id}/settings", webhook.settings),
    Route("POST", "/webhooks/{id}/settings", webhook.save),
    Route("POST", "/webhooks/{id}/delete", webhook.delete),
    Route("POST", "/webhooks/{id}/test", webhook.test),
    Route("GET", "/webhooks/{id}/secrets", webhook.secrets),
    Route("POST", "/webhooks/{id}/secrets/rotate", webhook.rotate),
    Route("POST", "/webhooks/{id}/secrets/{secret_id}/end", webhook.end_secret),
    Route("GET", "/webhooks/{id}/receiver", webhook.receiver),
    Route("GET", "/webhooks/{id}/audit", webhook.audit),
    Route("GET", "/event-types", event_types.index),
    Route("GET", "/event-types/{type}", event_types.one),
    Route("POST", "/event-types/{type}/test", event_types.test),
)
