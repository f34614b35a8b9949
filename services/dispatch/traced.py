"""Where somebody asked for traces: the matcher and the sender of a worker, with a tracer told of each."""

from collections.abc import Callable, Sequence

from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery
from services.kernel.event import Event
from services.kernel.ports.network import Sender
from services.kernel.ports.trace import Tracer
from services.kernel.subscription import Subscription
from services.match.index import Match, Matcher


class TracedMatcher(Matcher):
    """A matcher whose matches are spans."""

    def __init__(
        self, *, on_broken: Callable[[Subscription], None], tracer: Tracer, clock: Clock
    ) -> None:
        super().__init__(on_broken=on_broken)
        self._tracer = tracer
        self._clock = clock

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, whose trace goes on from here."""
        began = self._clock.time()
        found = super().match(event)
        ended = self._clock.time()
        # In place: whoever asked makes its deliveries of this very event.
        event.traceparent = self._tracer.matched(  # type: ignore[misc]
            event, began=began, ended=ended, due=len(found)
        )
        return found


class TracedSender:
    """A sender whose requests are spans."""

    def __init__(self, *, sender: Sender, tracer: Tracer) -> None:
        self._sender = sender
        self._tracer = tracer

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, waited: float = 0.0
    ) -> Attempt:
        """Make one request; see `Sender`."""
        attempt = await self._sender.deliver(delivery, subscription, waited=waited)
        self._tracer.attempted(delivery, subscription, attempt)
        return attempt
