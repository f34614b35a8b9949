"""What people register: projects, API keys, and subscriptions as their owners see them."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.kernel.event import Position
from services.kernel.geofence import CoordinateOrder
from services.kernel.ids import ApiKeyId, ProjectId, SecretId, SubscriptionId
from services.kernel.subscription import (
    EACH,
    ClientCertificate,
    Grouping,
    OnExhausted,
    OrderBy,
    Ordered,
    Profile,
    SignatureScheme,
    SigningKey,
    Status,
)
from services.kernel.value import value


@value
class Project:
    """A tenant."""

    id: ProjectId
    name: str
    created_at: datetime
    updated_at: datetime
    coordinate_order: CoordinateOrder | None = None
    """Of the bare pairs in its planner's geofences; None: such geofences are not taken."""
    max_subscriptions: int = 1_000

    @property
    def version(self) -> int:
        """When it was last changed, in microseconds since 1970."""
        return (self.updated_at - datetime.fromtimestamp(0, tz=UTC)) // timedelta(microseconds=1)


@value
class ApiKey:
    """Who may call for a project; the key itself is never kept."""

    id: ApiKeyId
    project_id: ProjectId
    name: str
    prefix: str
    """Its first characters, to tell keys apart."""
    hash: bytes
    scopes: tuple[str, ...]
    """`ingest`, `read`, `manage`."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@value
class Registration:
    """A subscription as its owner sees it."""

    id: SubscriptionId
    project_id: ProjectId
    url: str
    types: tuple[str, ...]
    description: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    client_certificate: ClientCertificate | None = None
    profile: Profile = Profile.PLANNER_2022
    expand: tuple[str, ...] = ()
    max_in_flight: int | None = None
    timeout_seconds: float = 15.0
    retry_schedule: tuple[float, ...] | None = None
    rate_limit: float | None = None
    ordered: Ordered = Ordered.NONE
    order_by: OrderBy = OrderBy.KEY
    on_exhausted: OnExhausted = OnExhausted.SKIP
    delivery: Grouping = EACH
    filter: str | None = None
    """The event pattern in its normal form, compact JSON."""
    max_age_seconds: tuple[tuple[str, float], ...] = ()
    start_from: str = "now"
    """Where its first event was looked for: `now`, `earliest` or a time, RFC 3339."""
    status: Status = Status.ACTIVE
    status_reason: str | None = None
    status_at: datetime
    failures_reset_at: datetime | None = None
    """Failures counted before do not count any more."""
    failure_count: int = 0
    """Failures in a row, as workers last told."""
    signature: SignatureScheme = SignatureScheme.V1
    created_by: str
    created_at: datetime
    updated_at: datetime
    version: int = 1


class ProjectUsage(NamedTuple):
    """What a project has, and may have, of subscriptions."""

    subscriptions: int
    filter_bytes: int
    max_subscriptions: int


class Secret(NamedTuple):
    """A signing secret in the list of its subscription: never its value."""

    id: SecretId
    scheme: SignatureScheme
    public_key: bytes | None
    created_at: datetime
    expires_at: datetime | None


class NewSecret(NamedTuple):
    """A signing secret to store."""

    id: SecretId
    key: SigningKey
    public_key: bytes | None
    created_at: datetime


class HeldEvent(NamedTuple):
    """The event that holds a key of an ordered subscription."""

    position: Position
    event_id: str


class Page(NamedTuple):
    """Where a list goes on: keyset, newest first."""

    limit: int
    before: str | None
    """Only ids below this one; None: from the newest."""
    as_of: datetime | None = None
    """The moment that the first page told of, where what is listed changes; None: this is it."""


class Stored(NamedTuple):
    """An answer that was given under an idempotency key."""

    request_hash: bytes
    status: int | None
    """None: the first request is still running."""
    headers: dict[str, str]
    body: bytes
