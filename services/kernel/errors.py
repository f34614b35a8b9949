"""Everything that may be raised across packages; a docstring is the message people read.

What a receiver does is data (`Outcome`), never an exception. A caller's fault is a `FaultsError`
with the place of each fault. An outage of Kafka or Postgres has a name and is waited out.
"""

from collections.abc import Sequence
from typing import NamedTuple


class WebhooksError(Exception):
    """Something went wrong that has a name; the base of all of these."""

    def __str__(self) -> str:
        return super().__str__() or (type(self).__doc__ or "").strip()


class Fault(NamedTuple):
    """One thing wrong with what a caller sent."""

    code: str
    """Machine-readable, e.g. `unknown_type`; stable within `/v1`."""
    message: str
    """A sentence that says what is wrong and what to do."""
    pointer: str | None = None
    """RFC 6901 into the body; None where a query parameter or header is at fault."""
    parameter: str | None = None
    """Name of the query parameter or header at fault."""


class FaultsError(WebhooksError):
    """What was sent is not valid; nothing was changed."""

    def __init__(self, title: str, faults: Sequence[Fault]) -> None:
        super().__init__(f"{title}: " + "; ".join(fault.message for fault in faults))
        self.title = title
        self.faults = tuple(faults)


class UnfitSettingError(WebhooksError):
    """A setting can be read and doesn't fit what is there; the message names it."""


class NotFoundError(WebhooksError):
    """No such object in this project."""

    def __init__(self, noun: str, id_: str) -> None:
        super().__init__(f"no {noun} {id_!r} in this project")
        self.noun = noun


class ConflictError(WebhooksError):
    """The object is not in a state that allows this."""


class StoreGoneError(WebhooksError):
    """Postgres can't be reached, or broke off; whether the statement took effect is unknown."""


class BrokerGoneError(WebhooksError):
    """Kafka can't be reached, or did not answer in time; whether it took the request is unknown."""


class BrokerRefusedError(WebhooksError):
    """Kafka understood the request and refused it; repeating it changes nothing."""


class OutOfLogError(WebhooksError):
    """The log doesn't hold this offset: retention passed it, or it was never written."""


class CommitRefusedError(WebhooksError):
    """The group refused the commit: this member's generation is over, or the group has members."""


class MembershipLostError(WebhooksError):
    """The consumer ended with an error it can't recover from; a new one is needed."""


class StoreWentBackError(WebhooksError):
    """Postgres is older than the offsets committed to Kafka: it was restored, or failed over."""


class StuckError(WebhooksError):
    """The consumer is alive and reads nothing; the process ended, and the next one goes on."""


class GroupInUseError(WebhooksError):
    """The group has members, and Kafka lets nobody else commit for it."""


def escape(step: str) -> str:
    """Return one step of a JSON pointer (RFC 6901)."""
    return step.replace("~", "~0").replace("/", "~1")
