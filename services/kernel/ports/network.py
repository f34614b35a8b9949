"""Requests to receivers, the one way out."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.subscription import ClientCertificate, Subscription


class Sender(Protocol):
    """Signs and sends; used by the outboxes, by test calls and by probes."""

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, waited: float = 0.0
    ) -> Attempt:
        """Make one request with *subscription*'s present URL, secrets and time limit.

        *waited* are the seconds that it stood in line for, kept with the attempt.

        Never raises for what a receiver does; cancelled only when a drain ends.
        """


class Manner(NamedTuple):
    """How a request is made: well, but for those that try out how a receiver takes what is not."""

    signed_ago: float = 0.0
    """Seconds that `webhook-timestamp` lies back; the signature is of that moment."""
    body_seconds: float = 0.0
    """Over which the body trickles; 0: at once."""


WELL = Manner()


class BenchSender(Protocol):
    """A `Sender` that can misbehave on purpose; used by test calls."""

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, manner: Manner = WELL
    ) -> Attempt:
        """Make one request; as `Sender.deliver`."""


class Answer(NamedTuple):
    """What came of a request, before it is judged."""

    outcome: Outcome
    status: int | None
    headers: tuple[tuple[str, str], ...]
    excerpt: bytes
    address: str | None
    error: str | None
    connect: float | None = None
    """Seconds; as in `Attempt`, like the next two."""
    tls: float | None = None
    first_byte: float | None = None


class HttpClient(Protocol):
    """The door to the network: checks addresses, bounds time and size, follows nothing."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        body_seconds: float = 0.0,
        certificate: ClientCertificate | None = None,
    ) -> Answer:
        """Make one request and read the answer up to its cap. Never raises for what a server does.

        *body_seconds*: the body trickles for so long, and `first_byte` counts from its beginning.
        *certificate* is shown to a server that asks for one, on connections of its own.
        """
