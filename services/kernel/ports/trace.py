"""What tells a trace of our part in it; used where somebody asked for traces, and nowhere else."""

from typing import Protocol

from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery
from services.kernel.event import Event
from services.kernel.subscription import Subscription


class Tracer(Protocol):
    """Told of a step when it is over. Never raises, never waits."""

    def matched(self, event: Event, *, began: float, ended: float, due: int) -> str | None:
        """Tell of a match between two moments (Unix seconds), which *due* subscriptions came of.

        Return the `traceparent` that goes on with their deliveries: the event's own where nobody
        follows this trace.
        """

    def attempted(self, delivery: Delivery, subscription: Subscription, attempt: Attempt) -> None:
        """Tell of a request, and of the time that it stood in line for."""
