"""One event due to one subscription, and the ways that ends."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from services.kernel.about import NOTHING, About
from services.kernel.event import Position
from services.kernel.ids import SubscriptionId
from services.kernel.value import value

REWOUND = "group-reset"
"""`planner-replay` of events that are sent again because a person moved the group's offsets back."""
RESUMED_EARLIER = "rewind"
"""`planner-replay` of events that are sent again because a person resumed one subscription earlier."""


class Settlement(StrEnum):
    """How a delivery stopped being open. Only the first is settled in memory alone."""

    ACKNOWLEDGED = "acknowledged"  #: the receiver answered 2xx
    PARKED = "parked"  #: its retry row is committed
    DEAD = "dead"  #: its dead-letter row is committed
    SUPERSEDED = "superseded"  #: a later position of its vehicle is open in its place, or was sent
    COVERED = "covered"  #: a committed lane row has it: it is read again from there
    GONE = "gone"  #: its subscription was deleted (the audit says by whom)


class Trigger(StrEnum):
    """Why a request is made."""

    LIVE = "live"  #: the feed read the event
    RETRY = "retry"  #: an earlier attempt failed
    REPLAY = "replay"  #: someone moved the offsets back
    RESEND = "resend"  #: someone asked for this delivery again
    TEST = "test"  #: someone asked for a test call
    PROBE = "probe"  #: someone asked whether a URL can be reached


class Member(NamedTuple):
    """One event of a batch."""

    offset: int
    size: int
    """Bytes of its body; 0 if the batch comes from its row, which has settled the event already."""


@value
class Delivery:
    """One event due to one subscription: the pair that gets settled. Or a batch of such, as one."""

    position: Position
    """For a batch, that of its first event."""
    epoch: int
    """The epoch of the partition's assignment: a late answer from an older one changes nothing."""
    subscription_id: SubscriptionId
    event_id: str
    """`webhook-id`: the same on retries, repeats and replays."""
    type: str
    """The name that the subscription asked for: `planner-event-type`."""
    body: bytes
    """Rendered once per event, profile, name and `expand`; exactly these bytes are signed."""
    content_type: str
    key: str | None
    """The record's key, without the project."""
    project_id: str
    timestamp_ms: int
    """The record's timestamp: the time from produced to received is measured from it."""
    number: int = 1
    """The number of the attempt to come, from 1."""
    trigger: Trigger = Trigger.LIVE
    replay: str | None = None
    """Id of the replay this belongs to: `planner-replay`."""
    resend: str | None = None
    """Id of the resend that a person asked for: sent as `planner-replay` too, since otherwise a receiver
    that has the event would take it for a repeat."""
    retry_reason: str | None = None
    """The outcome of the attempt before: `planner-retry-reason`."""
    traceparent: str | None = None
    about: About = NOTHING
    """What people can find it by."""
    order: str | None = None
    """For an ordered subscription, the key whose requests go one after another; None: unordered."""
    conflated: int = 0
    """How many others it replaces since the last one of its key: `planner-conflated`."""
    members: tuple[Member, ...] = ()
    """The events of a batch."""
    skip: bool = False
    """Whether a person gave it up: its row becomes a dead letter without another attempt."""

    @property
    def pair(self) -> tuple[Position, SubscriptionId]:
        """What is settled."""
        return self.position, self.subscription_id

    @property
    def is_batch(self) -> bool:
        """Whether its body is an array of events."""
        return self.body.startswith(b"[")

    @property
    def parts(self) -> Sequence[Member]:
        """The offsets that it settles, with the size of their bodies."""
        return self.members or (Member(self.position.offset, len(self.body)),)

    @property
    def is_beside(self) -> bool:
        """Whether it belongs to a replay that goes on beside live traffic."""
        return self.replay not in (None, REWOUND, RESUMED_EARLIER)

    def __repr__(self) -> str:
        return f"<Delivery {self.position} → {self.subscription_id} #{self.number} {self.type}>"
