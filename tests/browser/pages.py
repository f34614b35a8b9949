"""Every page that there is, by name: what `test_every_page.py` looks at, and `make screenshots`."""

from collections.abc import Mapping

from services.catalogue import examples
from tests.support.site import Site

ROUTE = examples()["vehicle.position"]["data"]["route_id"]


def pages(site: Site) -> Mapping[str, str]:
    """Return the path of each page; sign-in apart, as their owner sees them, or the operator."""
    return {
        "webhooks": "/webhooks",
        "webhooks-none": "/webhooks?status=disabled",
        "webhook": f"/webhooks/{site.healthy}",
        "webhook-failing": f"/webhooks/{site.failing}",
        "webhook-settings": f"/webhooks/{site.failing}/settings",
        "webhook-secrets": f"/webhooks/{site.healthy}/secrets",
        "webhook-receiver": f"/webhooks/{site.healthy}/receiver?language=go",
        "webhook-audit": f"/webhooks/{site.healthy}/audit",
        "event-types": "/event-types",
        "event-type": "/event-types/stop.report.completed",
        "deliveries": "/deliveries",
        "deliveries-none": "/deliveries?stop_id=61f0a446c97efa37d4831111",
        "delivery": f"/deliveries/{site.delivery}",
        "delivery-request": f"/deliveries/{site.delivery}/request",
        "event": f"/events/{site.event}",
        "events": "/events",
        "events-none": "/events?type=plan.deleted",
        "failed": "/failed",
        "failed-none": f"/failed?subscription={site.healthy}",
        "discard": f"/failed/discard?subscription={site.dead}&outcome=http&status=404",
        "resends": "/resends",
        "resend-new": f"/resends/new?subscription={site.dead}",
        "resend": f"/resends/{site.resend}",
        "replays": "/replays",
        "replays-none": f"/replays?subscription={site.dead}",
        "replay-new": "/replays/new?vehicle_id=61f0a446c97efa37d4831111",
        "replay": f"/replays/{site.replay}",
        "new-webhook": "/webhooks/new",
        "filter-lab": f"/filters?webhook={site.failing}",
        "test-bench": f"/test-bench?webhook={site.healthy}&type=stop.created",
        "dry-run": f"/filters/dry-runs/{site.dry_run}",
        "map": "/map",
        "map-route": f"/map?route={ROUTE}",
        "portal-links": f"/portal-links?subscription={site.healthy}",
        "audit": "/audit",
        "lanes": "/lanes",
        "projects": "/projects",
        "project": f"/projects/{site.cluster.project}",
    }


def portal_pages(site: Site) -> Mapping[str, str]:
    """Return the same of a portal link to one webhook, `site.failing`."""
    return {
        "portal-webhooks": "/webhooks",
        "portal-webhook": f"/webhooks/{site.failing}",
        "portal-settings": f"/webhooks/{site.failing}/settings",
        "portal-deliveries": "/deliveries",
        "portal-delivery": f"/deliveries/{site.delivery}",
        "portal-failed": "/failed",
        "portal-event-types": "/event-types",
    }


NAMES = (
    "webhooks", "webhooks-none", "webhook", "webhook-failing", "webhook-settings",
    "webhook-secrets", "webhook-receiver", "webhook-audit", "event-types", "event-type",
    "deliveries", "deliveries-none", "delivery", "delivery-request", "event", "events",
    "events-none", "failed", "failed-none", "discard", "resends", "resend-new", "resend",
    "replays", "replays-none", "replay-new", "replay",
    "new-webhook", "filter-lab", "test-bench", "dry-run", "map", "map-route", "portal-links", "audit",
    "lanes", "projects", "project",
)  # fmt: skip
"""The same, for tests that are collected before there is a site; a test holds the two to each other."""
OPERATORS = ("lanes", "projects", "project")
"""Those that only the operator sees."""
