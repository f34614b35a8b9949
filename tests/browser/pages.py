"""Every page that there is, by name: what `test_every_page.py` looks at, and `make screenshots`."""

from collections.abc import Mapping

from tests.support.site import Site


def pages(site: Site) -> Mapping[str, str]:
    """Return the path of each page; sign-in apart, as their owner sees them."""
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
    }


NAMES = (
    "webhooks", "webhooks-none", "webhook", "webhook-failing", "webhook-settings",
    "webhook-secrets", "webhook-receiver", "webhook-audit", "event-types", "event-type",
)  # fmt: skip
"""The same, for tests that are collected before there is a site; a test holds the two to each other."""
