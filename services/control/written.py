"""An event as it goes out to one webhook, outside of the feed: for a test call, or once more."""

from services.deliver.batch import alone
from services.kernel.about import about
from services.kernel.delivery import Delivery, Trigger
from services.kernel.event import Event
from services.kernel.registration import Registration
from services.kernel.subscription import Mode
from services.render import render


def written(
    event: Event,
    registration: Registration,
    *,
    asked: str,
    trigger: Trigger,
    max_body_bytes: int,
    order: str | None = None,
    as_member: bool = False,
) -> Delivery:
    """Return the delivery of *event*, called *asked*, as the webhook's profile has it.

    A webhook of batches gets an array of one; *as_member* the event alone, to be one of several.
    """
    body, content_type = render(
        event,
        profile=registration.profile,
        asked=asked,
        expand=registration.expand,
        max_bytes=max_body_bytes,
    )
    delivery = Delivery(
        position=event.position,
        epoch=0,
        subscription_id=registration.id,
        event_id=event.id,
        type=asked,
        body=body,
        content_type=content_type,
        key=event.key,
        project_id=event.project_id,
        timestamp_ms=event.timestamp_ms,
        trigger=trigger,
        traceparent=event.traceparent,
        about=about(event),
        order=order,
    )
    if as_member or registration.delivery.mode is not Mode.BATCH:
        return delivery
    return alone(delivery, registration.profile)
