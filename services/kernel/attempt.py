"""One request: how it ended, and what we do next."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from services.kernel.value import value


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"  #: 2xx
    HTTP = "http"  #: any other status
    TIMEOUT = "timeout"  #: the time limit ran out, connecting included
    CONNECT = "connect"  #: refused or unreachable
    DNS = "dns"  #: the name has no address
    TLS = "tls"  #: no handshake, or a certificate that doesn't verify
    RESET = "reset"  #: the connection broke, or the answer was no HTTP
    BLOCKED = "blocked"  #: an address we refuse


@value
class Attempt:
    """One request and its answer. Data for whatever the receiver did."""

    outcome: Outcome
    started_at: float
    """Unix seconds."""
    seconds: float
    """From the start to the end of the answer, or to the failure."""
    waited: float = 0.0
    """Seconds in line before the start."""
    connect: float | None = None
    """Seconds to resolve the name and connect; None if a connection was reused, or none was made."""
    tls: float | None = None
    """Seconds of its TLS handshake; None if there was none."""
    first_byte: float | None = None
    """Seconds from the request's last byte to the head of the answer."""
    status: int | None = None
    retry_after: float | None = None
    """Seconds the receiver asked us to wait, capped at an hour; from `Retry-After`."""
    excerpt: bytes = b""
    """The beginning of the answer's body, up to 1 KiB."""
    headers: tuple[tuple[str, str], ...] = ()
    """The answer's headers, capped; only where the outcome isn't `ok`, since copying them costs time."""
    address: str | None = None
    """`ip:port` of the connection, which an earlier request may have made; None without one."""
    error: str | None = None
    """What happened, in a sentence; None for an HTTP answer."""
    traceparent: str | None = None
    """The `traceparent` that was sent."""


class Acknowledged(NamedTuple):
    """The receiver has it."""


class RetryAt(NamedTuple):
    """Try again, not before this moment."""

    due_at: datetime


class Superseded(NamedTuple):
    """It failed, and a later position of its vehicle goes out in its place."""


class Dead(NamedTuple):
    """Give up: a dead letter."""

    reason: str
    """`exhausted`, `disabled` …: a closed set."""


class Disable(NamedTuple):
    """The receiver said 410: disable the subscription; the event is a dead letter."""

    reason: str


Verdict: TypeAlias = Acknowledged | RetryAt | Superseded | Dead | Disable
