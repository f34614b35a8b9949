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
"""The same of one subscription that a person had resume from an earlier time."""


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
    """Of its body; 0 where the batch comes back from its row: the event is settled since it has that."""


@value
class Delivery:
    """One event due to one subscription: the pair that gets settled. Or a batch of such, as one."""

    position: Position
    """Of a batch: of its first event."""
    epoch: int
    """Of the partition's assignment; a late answer of an older one moves nothing."""
    subscription_id: SubscriptionId
    event_id: str
    """`webhook-id`: the same on retries, repeats and replays."""
    type: str
    """The name that the subscription asked for: `planner-event-type`."""
    body: bytes
    """Rendered once per event, profile, name and `expand`; exactly these bytes are signed."""
    content_type: str
    key: str | None
    """Of the record, without the project."""
    project_id: str
    timestamp_ms: int
    """Of the record: produced to received is measured from here."""
    number: int = 1
    """Of the attempt to come."""
    trigger: Trigger = Trigger.LIVE
    replay: str | None = None
    """Id of the replay this belongs to: `planner-replay`."""
    resend: str | None = None
    """Id of the job that sends it again, since a person asked for it: `planner-replay` too, or a
    receiver that has the event takes it for a repeat."""
    retry_reason: str | None = None
    """Outcome of the attempt before: `planner-retry-reason`."""
    traceparent: str | None = None
    about: About = NOTHING
    """What people look for it by."""
    order: str | None = None
    """Of an ordered subscription: by what its requests go one after the other; None: by nothing."""
    conflated: int = 0
    """How many others it took the place of since the last one of its key: `planner-conflated`."""
    members: tuple[Member, ...] = ()
    """Of a batch: its events."""
    skip: bool = False
    """A person gave this row up: it becomes a dead letter without another attempt."""

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
