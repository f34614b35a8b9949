"""What people look for among attempts and deliveries."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.about import term
from services.kernel.ids import SubscriptionId
from services.kernel.recorded import Recorded

IDS = ("event_id", "plan_id", "route_id", "stop_id", "vehicle_id", "external_id")
"""What an attempt is found by, of many kinds."""
_SAME = ("project_id", "subscription_id", "outcome", "verdict", "status")


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

    @property
    def is_for_all_of_one(self) -> bool:
        """Whether it is for whatever a subscription got, between two times at most."""
        rest = self._replace(project_id=None, subscription_id=None, since=None, until=None)
        rest = rest._replace(among=None, deliveries=False, as_of=None)
        return self.subscription_id is not None and rest == HistoryFilter()


def fits(asked: HistoryFilter, attempt: Recorded) -> bool:
    """Tell whether an attempt is asked for, as the store does by columns; its type is left aside.

    Neither times nor whether it is the newest: an attempt is looked at as it comes.
    """
    return (
        all(getattr(asked, name) in (None, getattr(attempt, name)) for name in _SAME)
        and all(_is_of(attempt, name, getattr(asked, name)) for name in IDS)
        and asked.state in (None, state_of(attempt))
        and asked.status_class in (None, (attempt.status or 0) // 100)
        and (asked.text is None or asked.text.lower() in attempt.excerpt.lower())
    )


def _is_of(attempt: Recorded, name: str, wanted: str | None) -> bool:
    """Tell whether it is about *wanted*; of a batch, whether one of its events is."""
    if wanted in (None, getattr(attempt, name)):
        return True
    return bool(wanted and attempt.also and term(name, wanted) in attempt.also)


def state_of(attempt: Recorded) -> DeliveryState:
    """Return the state of a delivery by its newest attempt."""
    return STATES.get(attempt.verdict or "", DeliveryState.PARKED)
