"""Every page in one table."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from aiohttp import web

from services.dashboard.views import (
    audit,
    deliveries,
    delivery,
    event_types,
    events,
    failed,
    filters,
    find,
    fleet,
    lanes,
    new_webhook,
    portal,
    portal_links,
    projects,
    replays,
    resends,
    session,
    test_bench,
    webhook,
    webhooks,
)
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
    Route("GET", "/portal", portal.left, open=True),
    Route("POST", "/portal", portal.entered, open=True),
    Route("GET", "/portal/{token}", portal.enter, open=True),
    Route("POST", "/sign-out", session.sign_out),
    Route("POST", "/theme", session.theme, open=True),
    Route("POST", "/project", session.project),
    Route("GET", "/live", session.live),
    Route("GET", "/find", find.index),
    Route("GET", "/webhooks", webhooks.index),
    Route("GET", "/webhooks/new", new_webhook.start),
    Route("POST", "/webhooks/new/url", new_webhook.url),
    Route("POST", "/webhooks/new/probe", new_webhook.probe),
    Route("POST", "/webhooks/new/types", new_webhook.types),
    Route("POST", "/webhooks/new/try", new_webhook.attempt),
    Route("POST", "/webhooks", new_webhook.create),
    Route("POST", "/webhooks/{id}/first-event", new_webhook.first_event),
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
    Route("POST", "/webhooks/{id}/receiver", webhook.receiver),
    Route("GET", "/webhooks/{id}/audit", webhook.audit),
    Route("GET", "/deliveries", deliveries.index),
    Route("GET", "/deliveries.csv", deliveries.export_csv),
    Route("GET", "/deliveries.ndjson", deliveries.export_ndjson),
    Route("GET", "/deliveries/{id}", delivery.one),
    Route("POST", "/deliveries/{id}/resend", delivery.resend),
    Route("GET", "/deliveries/{id}/request", delivery.request),
    Route("POST", "/deliveries/{id}/verify", delivery.verify),
    Route("GET", "/resends", resends.index),
    Route("POST", "/resends", resends.create),
    Route("GET", "/resends/new", resends.new),
    Route("GET", "/resends/{id}", resends.one),
    Route("POST", "/resends/{id}/cancel", resends.cancel),
    Route("GET", "/failed", failed.index),
    Route("GET", "/failed/discard", failed.discarding),
    Route("POST", "/failed/discard", failed.discard),
    Route("GET", "/replays", replays.index),
    Route("GET", "/replays/new", replays.new),
    Route("POST", "/replays/new", replays.create),
    Route("GET", "/replays/{id}", replays.one),
    Route("POST", "/replays/{id}/cancel", replays.cancel),
    Route("GET", "/events", events.index),
    Route("GET", "/events/{topic}/{partition}/{offset}", events.one),
    Route("GET", "/event-types", event_types.index),
    Route("GET", "/event-types/{type}", event_types.one),
    Route("POST", "/event-types/{type}/test", event_types.test),
    Route("GET", "/filters", filters.lab),
    Route("POST", "/filters", filters.judge),
    Route("POST", "/filters/dry-run", filters.dry_run),
    Route("GET", "/filters/dry-runs/{id}", filters.one),
    Route("POST", "/filters/dry-runs/{id}/cancel", filters.cancel),
    Route("GET", "/test-bench", test_bench.index),
    Route("POST", "/test-bench", test_bench.send),
    Route("POST", "/test-bench/day", test_bench.day),
    Route("GET", "/audit", audit.index),
    Route("GET", "/portal-links", portal_links.index),
    Route("POST", "/portal-links", portal_links.create),
    Route("POST", "/portal-links/{id}/revoke", portal_links.revoke),
    Route("GET", "/map", fleet.index),
    Route("GET", "/lanes", lanes.index),
    Route("GET", "/projects", projects.index),
    Route("POST", "/projects", projects.create),
    Route("GET", "/projects/{id}", projects.one),
    Route("POST", "/projects/{id}", projects.save),
    Route("POST", "/projects/{id}/delete", projects.delete),
    Route("POST", "/projects/{id}/keys", projects.create_key),
    Route("POST", "/projects/{id}/keys/{key_id}/revoke", projects.revoke),
)
