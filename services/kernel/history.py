"""What people look for among attempts and deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.ids import SubscriptionId
from services.kernel.recorded import Recorded


class DeliveryState(StrEnum):
    """What became of a delivery."""

    ACKNOWLEDGED = "acknowledged"  #: the receiver has it
    PARKED = "parked"  #: it will be tried again
    DEAD = "dead"  #: it was given up
    SUPERSEDED = "superseded"  #: it failed, and a newer position of its vehicle took its place


STATES = {
    "acknowledged": DeliveryState.ACKNOWLEDGED,
    "retry": DeliveryState.PARKED,
    "superseded": DeliveryState.SUPERSEDED,
    "dead": DeliveryState.DEAD,
    "disable": DeliveryState.DEAD,
}
"""By the verdict of the newest attempt; without one, a worker ended before it was decided: parked."""


class HistoryFilter(NamedTuple):
    """Which attempts, or which deliveries by their newest attempt. None: whichever."""

    project_id: str | None = None
    subscription_id: SubscriptionId | None = None
    type: str | None = None
    state: str | None = None
    outcome: str | None = None
    verdict: str | None = None
    status: int | None = None
    status_class: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    event_id: str | None = None
    plan_id: str | None = None
    route_id: str | None = None
    stop_id: str | None = None
    vehicle_id: str | None = None
    external_id: str | None = None
    text: str | None = None
    """Part of the answer's excerpt, in any case."""
    among: tuple[str, ...] | None = None
    """Of these subscriptions alone: those that exist for whoever asks."""
    deliveries: bool = False
    """Whether only the newest attempt of each delivery is meant, and no test call."""
    as_of: datetime | None = None
    """What began then or later isn't there yet: pages of one list tell of one moment, or a delivery
    that is tried again between two of them would be on neither."""


def fits(asked: HistoryFilter, attempt: Recorded) -> bool:
    """Tell whether an attempt is asked for, as the store does by columns; its type is left aside.

    Neither times nor whether it is the newest: an attempt is looked at as it comes.
    """
    same = (
        (asked.project_id, attempt.project_id),
        (asked.subscription_id, attempt.subscription_id),
        (asked.outcome, attempt.outcome),
        (asked.verdict, attempt.verdict),
        (asked.status, attempt.status),
        (asked.event_id, attempt.event_id),
        (asked.plan_id, attempt.plan_id),
        (asked.route_id, attempt.route_id),
        (asked.stop_id, attempt.stop_id),
        (asked.vehicle_id, attempt.vehicle_id),
        (asked.external_id, attempt.external_id),
    )
    return (
        all(wanted in (None, found) for wanted, found in same)
        and asked.state in (None, state_of(attempt))
        and asked.status_class in (None, (attempt.status or 0) // 100)
        and (asked.text is None or asked.text.lower() in attempt.excerpt.lower())
    )


def state_of(attempt: Recorded) -> DeliveryState:
    """Return the state of a delivery by its newest attempt."""
    return STATES.get(attempt.verdict or "", DeliveryState.PARKED)
