"""By what the requests of an ordered subscription go one after the other."""

from services import catalogue
from services.kernel.event import Event
from services.kernel.registration import Registration
from services.kernel.subscription import Mode, OrderBy, Ordered, Subscription


def order_of(event: Event, subscription: Subscription | Registration) -> str | None:
    """Return the key; None: no order.

    An event that is about no route, or whose entity isn't known, goes by the record's key.
    """
    if subscription.ordered is Ordered.NONE:
        return None
    if subscription.order_by is OrderBy.KEY:
        return event.key
    noun = "route" if subscription.order_by is OrderBy.ROUTE else event.type.partition(".")[0]
    return catalogue.id_of(noun, event.body) or event.key


def limit_of(event: Event, subscription: Subscription) -> float | None:
    """Return how many seconds old *event* may be; None: there is no limit. Streams alone have one."""
    if event.key is None:
        return None
    return dict(subscription.max_age_seconds).get(event.type)


def is_folded(event: Event, subscription: Subscription | Registration) -> bool:
    """Tell whether a newer one of its key takes the place of *event*: of streams alone, and by key."""
    return (
        subscription.delivery.mode is Mode.LATEST
        and event.key is not None
        and catalogue.is_stream(event.type)
    )
