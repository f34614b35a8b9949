"""Who wants which events, where they go and how they are signed."""

from enum import StrEnum
from typing import NamedTuple

from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.value import value


class Profile(StrEnum):
    """The shape of the body that a receiver chose (`schemas/events`, section "profiles")."""

    PLANNER_2022 = "planner-2022"  #: the event as it is; the default
    PLANNER_V2 = "planner-v2"  #: five fields; a route is a `driver`
    HIGHWAY_V1 = "highway-v1"  #: five fields; a stop is a `service`
    ROUTAL_2 = "routal-2"  #: the successor's envelope
    CLOUDEVENTS = "cloudevents"  #: CloudEvents 1.0, structured
    STANDARD_WEBHOOKS = "standard-webhooks"  #: `{type, timestamp, data}`


class Status(StrEnum):
    """Whether a subscription is sent to."""

    ACTIVE = "active"  #: delivered to
    PAUSED = "paused"  #: stopped by its owner; nothing is lost meanwhile
    DISABLED = "disabled"  #: stopped by us: 410, or days without a success


class SignatureScheme(StrEnum):
    """How requests are signed, by the names of Standard Webhooks."""

    V1 = "v1"  #: HMAC-SHA256 over a shared secret
    V1A = "v1a"  #: ed25519; the receiver holds the public key alone


class SigningKey(NamedTuple):
    """One valid secret. While one is rotated there are two, and both sign."""

    scheme: SignatureScheme
    key: bytes
    """v1: 24 to 64 random bytes; v1a: the 32-byte ed25519 seed. Never logged."""
    expires_at: float | None = None
    """Unix seconds; None: until rotated."""

    def __repr__(self) -> str:
        return f"SigningKey(scheme={self.scheme}, key=***, expires_at={self.expires_at})"


class ClientCertificate(NamedTuple):
    """What a receiver is shown that asks who calls (mTLS), and the key that proves it."""

    certificate: str
    """PEM; ours first, then those that lead to an authority."""
    key: str
    """PEM (PKCS #8). Never logged, and shown to nobody."""
    subject: str
    """As in RFC 4514: `CN=hooks,O=Planner`."""
    not_after: float
    """Unix seconds."""
    sha256: str
    """Of the certificate itself, 64 hex: tells one from the next."""

    def __repr__(self) -> str:
        return f"ClientCertificate(subject={self.subject!r}, sha256={self.sha256[:8]}…, key=***)"


class Ordered(StrEnum):
    """Whether requests of one key wait for each other."""

    NONE = "none"  #: each event by itself
    KEY = "key"  #: the next of a key goes out when the one before is acknowledged or given up


class OrderBy(StrEnum):
    """What the key of order is."""

    KEY = "key"  #: the record's key: a plan, a vehicle, an entity
    ROUTE = "route"  #: the route that the event is about
    ENTITY = "entity"  #: the stop, route, vehicle … that the event is about


class OnExhausted(StrEnum):
    """What becomes of a key when the schedule of its failing event has run out."""

    SKIP = "skip"  #: the event is a dead letter, the next of its key goes out
    BLOCK = "block"  #: the key waits for a person


class Mode(StrEnum):
    """How events become requests."""

    EACH = "each"  #: one event, one request
    BATCH = "batch"  #: a JSON array of events
    LATEST = "latest"  #: the latest per vehicle, every so often


class Grouping(NamedTuple):
    """`delivery` of a subscription: its mode, and what bounds a request of more than one event."""

    mode: Mode = Mode.EACH
    max_events: int | None = None
    max_wait_ms: int | None = None
    max_bytes: int | None = None
    every_seconds: float | None = None


EACH = Grouping()


@value
class Subscription:
    """One subscription as workers hold it in memory: under 2 kB each, of 100,000."""

    id: SubscriptionId
    project_id: ProjectId
    url: str
    types: tuple[str, ...]
    """Patterns in the order and spelling they were written in."""
    keys: tuple[SigningKey, ...]
    """Newest first; all that have not expired sign."""
    profile: Profile = Profile.PLANNER_2022
    expand: tuple[str, ...] = ()
    """`stops`, `routes`: kept in `plan.*` and `route.*` up to the size limit."""
    headers: tuple[tuple[str, str], ...] = ()
    """Static headers to add."""
    client_certificate: ClientCertificate | None = None
    """Shown to the receiver in place of the installation's own; None: that one, if there is one."""
    status: Status = Status.ACTIVE
    max_in_flight: int | None = None
    """Ceiling of requests at once and worker; None: from the settings."""
    timeout_seconds: float = 15.0
    """From the start of the request to the end of the answer or its first 64 KiB."""
    retry_schedule: tuple[float, ...] | None = None
    """Waits in seconds after the 1st, 2nd … failure; None: the default; empty: one attempt."""
    rate_limit: float | None = None
    """Requests per second of all workers together; None: none but what the receiver can take."""
    ordered: Ordered = Ordered.NONE
    order_by: OrderBy = OrderBy.KEY
    on_exhausted: OnExhausted = OnExhausted.SKIP
    delivery: Grouping = EACH
    filter: str | None = None
    """The event pattern in its normal form, compact JSON; None: every event of the types."""
    max_age_seconds: tuple[tuple[str, float], ...] = ()
    """Of streams: a limit of age per type, beyond which a newer one of its key goes in its place."""
    begins_ms: int = 0
    """Unix milliseconds; nobody is sent events from before because a person moved the group."""
    forgiven_ms: int = 0
    """Unix milliseconds; failures in a row from before do not count any more."""
    version: int = 0
    """Grows with every change."""
    epoch: int = 0
    """Grows when it begins anew somewhere: more types, or a rewind. Then there are starts."""

    def __repr__(self) -> str:
        return f"<Subscription {self.id} {self.status} {' '.join(self.types)}>"
