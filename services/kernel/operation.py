"""Operational events: what the service says about itself, on `webhooks.ops`."""

from services.kernel.event import Json
from services.kernel.value import value

OPS_TOPIC = "webhooks.ops"


@value
class Operation:
    """One operational event, before it gets its id."""

    type: str
    """Of the catalogue: `webhook.disabled` …"""
    project_id: str
    subscription_id: str
    data: Json
