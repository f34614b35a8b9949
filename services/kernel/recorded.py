"""An attempt as it is kept and shown: what was sent to whom, what came back, what follows."""

from collections.abc import Sequence
from typing import NamedTuple

from services.kernel.about import About, events_of, types_of
from services.kernel.event import Partition, Position
from services.kernel.ids import delivery_id

_TRACE = slice(3, 35)


class Recorded(NamedTuple):
    """One attempt of the history.

    Its fields are those of an attempt in the log, in the same order, and then the id: tens of
    thousands a second become a `Recorded` in one call each, and nothing is computed before it is
    asked for.
    """

    event_id: str
    """Empty for a probe; of a batch its own."""
    type: str
    """Today's name; see `About`, as for the next five."""
    plan_id: str | None
    route_id: str | None
    stop_id: str | None
    vehicle_id: str | None
    external_id: str | None
    subscription_id: str
    """Empty for a probe."""
    project_id: str
    """Empty where the operator probed for no project."""
    topic: str
    """Empty for what is no event of the log: a test call, a probe."""
    partition: int
    offset: int
    key: str | None
    number: int
    trigger: str
    """A `Trigger`."""
    replay: str | None
    produced_ms: int
    """The record's timestamp: produced to acknowledged is measured from here."""
    size: int
    """Bytes of the request's body."""
    started_at: float
    """Unix seconds."""
    waited: float
    """This and the next four in seconds; see `Attempt`."""
    connect: float | None
    tls: float | None
    first_byte: float | None
    seconds: float
    address: str | None
    outcome: str
    """An `Outcome`."""
    status: int | None
    headers: Sequence[tuple[str, str]]
    """Of the answer."""
    excerpt: str
    error: str | None
    verdict: str | None
    """`acknowledged` `retry` `dead` `disable`; None: nothing follows from it."""
    reason: str | None
    """Of a dead letter."""
    next_at: float | None
    """When the next attempt is due, in Unix seconds."""
    traceparent: str | None
    also: Sequence[str] | None
    """Of a batch: see `About`. None also of what was written before batches had it."""
    id: str
    """24 hex that sort by the start; the same however often the log is read."""

    @property
    def delivery_id(self) -> str:
        """24 hex of event and subscription; see `ids.delivery_id`."""
        return delivery_id(self.event_id, self.subscription_id)

    @property
    def about(self) -> About:
        """What people look for it by."""
        return About(
            self.type,
            self.plan_id,
            self.route_id,
            self.stop_id,
            self.vehicle_id,
            self.external_id,
            tuple(self.also or ()),
        )

    @property
    def types(self) -> Sequence[str]:
        """Its type; of a batch of several types, theirs."""
        return types_of(self.also or ()) or (self.type,)

    @property
    def event_ids(self) -> Sequence[str] | None:
        """Of a batch the ids of its events, in their order; None also of one that `also` is None of."""
        return events_of(self.also or ()) or None

    @property
    def position(self) -> Position | None:
        """Where its event stands; None for what is no event of the log."""
        return Position(Partition(self.topic, self.partition), self.offset) if self.topic else None

    @property
    def trace_id(self) -> str | None:
        """32 hex, as they were sent."""
        return self.traceparent[_TRACE] if self.traceparent else None


LEAST = len(Recorded._fields) - 2
"""Fields of an attempt in the log, as the first version wrote them: `also` came later."""
WIDTH = len(Recorded._fields) - 1
"""Of an attempt in the log: its id is made where it is read."""
