"""An attempt as it is kept and shown: what was sent to whom, what came back, what follows."""

from services.kernel.about import About
from services.kernel.attempt import Outcome
from services.kernel.delivery import Trigger
from services.kernel.event import Position
from services.kernel.value import value


@value
class Recorded:
    """One attempt of the history."""

    id: str
    """24 hex that sort by the start; the same however often the log is read."""
    delivery_id: str
    """24 hex of event and subscription; see `ids.delivery_id`."""
    event_id: str
    """Empty for a probe."""
    about: About
    subscription_id: str
    """Empty for a probe."""
    project_id: str
    """Empty where the operator probed for no project."""
    position: Position | None
    """None for what is no event of the log: a test call, a probe."""
    key: str | None
    number: int
    trigger: Trigger
    replay: str | None
    produced_ms: int
    """The record's timestamp: produced to acknowledged is measured from here."""
    size: int
    """Bytes of the request's body."""
    started_ms: float
    """Unix milliseconds, to the microsecond."""
    queue_ms: float
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    total_ms: float
    address: str | None
    outcome: Outcome
    status: int | None
    headers: tuple[tuple[str, str], ...]
    excerpt: str
    error: str | None
    verdict: str | None
    """`acknowledged` `retry` `dead` `disable`; None: nothing follows from it."""
    reason: str | None
    """Of a dead letter."""
    next_ms: float | None
    """When the next attempt is due."""
    trace_id: str | None
