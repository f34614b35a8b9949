"""What happens to events: requests, retries, the worker itself, history, geofences."""

from ipaddress import ip_address
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from services.settings.values import Count, Positive, Section, Words, as_words, cidrs

Wait = Annotated[float, Field(gt=0, le=86_400)]


class Deliver(Section):
    """Requests to receivers."""

    allow_networks: Words = ()
    """Networks (CIDR) that may be called although they are loopback, private or reserved."""
    allow_http: bool = False
    """Whether plain http:// URLs are accepted."""
    connect_timeout_seconds: Positive = 5.0
    timeout_seconds: Annotated[float, Field(ge=1, le=30)] = 15.0
    """Default of a subscription's time limit, 1 to 30."""
    max_in_flight: Count = 2_000
    """Requests at once of one worker."""
    max_in_flight_per_subscription: Count = 64
    """Default and ceiling of a subscription's `max_in_flight`, per worker."""
    max_body_bytes: Count = 262_144
    """Expanded bodies larger than this are sent slim, with `meta.truncated`."""
    response_bytes: Count = 65_536
    """How much of an answer is read."""
    idle_seconds: Positive = 30.0
    """Kept-alive connections are closed after so long without a request."""
    ca_file: str | None = None
    """PEM file of further authorities that may sign receivers' certificates."""
    client_cert_file: str | None = None
    """PEM file of our own certificate, for receivers who ask for one (mTLS)."""
    client_key_file: str | None = None
    """PEM file of its key."""
    source_addresses: Annotated[Words, Field(max_length=2)] = ()
    """Of this machine, one IPv4 and one IPv6: requests leave from them; default: the system's choice."""
    egress_addresses: Words = ()
    """What receivers see us come from, addresses or networks, told by `GET /v1/egress`; default: the
    source addresses."""
    egress_next_addresses: Words = ()
    """What they will see after a planned change."""
    egress_next_from: AwareDatetime | None = None
    """When that will be, like 2026-03-17T09:00:00Z."""
    user_agent_url: str = "https://github.com/planner-webhooks"

    _split = field_validator(
        "allow_networks", "source_addresses", "egress_addresses", "egress_next_addresses",
        mode="before",
    )(as_words)  # fmt: skip

    @field_validator("source_addresses")
    @classmethod
    def _sources(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        try:
            versions = [ip_address(word).version for word in words]
        except ValueError as error:
            raise ValueError(f"{error}, like 192.0.2.7") from error
        if len(set(versions)) < len(versions):
            raise ValueError("one IPv4 and one IPv6 address at most")
        return words

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.client_cert_file is None) != (self.client_key_file is None):
            raise ValueError("CLIENT_CERT_FILE and CLIENT_KEY_FILE go together")
        if bool(self.egress_next_addresses) != (self.egress_next_from is not None):
            raise ValueError("EGRESS_NEXT_ADDRESSES and EGRESS_NEXT_FROM go together")
        return self

    _networks = field_validator("allow_networks", "egress_addresses", "egress_next_addresses")(
        cidrs
    )


class Retry(Section):
    """What follows a failure."""

    schedule_seconds: Annotated[tuple[Wait, ...], NoDecode] = (
        5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
    )  # fmt: skip
    """Waits after the 1st, 2nd … failure, in seconds, a day at most; after the last a dead letter."""
    poll_seconds: Positive = 0.5
    """How often due rows are looked for."""
    budget_rows: Count = 10_000
    """Retry rows of one subscription in one worker; beyond it a lane takes over."""
    budget_bytes: Count = 16_777_216

    disable_after_days: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5.0
    """A subscription that fails for so long without a success is disabled; 0: never."""

    dead_letter_days: Positive = 30.0
    """How long what was given up is kept."""
    dead_letter_bytes: Count = 1 << 30
    """Of the bodies of one project's dead letters; the oldest beyond it are dropped, and counted."""

    @field_validator("schedule_seconds", mode="before")
    @classmethod
    def _numbers(cls, text: object) -> object:
        return as_words(text)


class Dispatch(Section):
    """The worker."""

    instance: str | None = None
    """Name of this worker, stable over restarts (begins `group.instance.id`); default: host name."""
    commit_interval_ms: Count = 100
    """Offsets are committed so often, where something changed."""
    drain_seconds: Positive = 10.0
    """On SIGTERM: how long requests in flight are waited for."""
    revoke_seconds: Positive = 2.0
    """On a rebalance: how long requests in flight are waited for."""
    park_after_seconds: Positive = 2.0
    """A request in flight for so long is written down, so that it holds up no offset."""
    window_open: Count = 1_000
    """Open offsets of a partition at which its feed waits."""
    window_offsets: Count = 50_000
    """Offsets between the committed one and the read position at which the feed waits."""
    window_bytes: Count = 67_108_864
    """Bytes of bodies held per partition at which its feed waits."""
    window_deliveries: Count = 100_000
    """Open deliveries of all partitions at which the feed of this worker waits: an event may have
    thousands."""
    reload_seconds: Positive = 60.0
    """How often all subscriptions are read again, in case a notification was lost."""
    start_timeout_seconds: Positive = 60.0
    """How long Kafka and Postgres are waited for at start."""
    stuck_seconds: Positive = 90.0
    """A consumer that reads nothing for so long, though there is something to read, ends the process.

    Longer than a rebalance may take (`WEBHOOKS_KAFKA__REBALANCE_TIMEOUT_SECONDS`)."""


class Record(Section):
    """The history of attempts."""

    enabled: bool = True
    """Whether attempts are kept; without, there are no lists of deliveries and no statistics."""
    topic: str = "webhooks.attempts"
    flush_ms: Count = 100
    """How often a worker writes what it attempted."""
    buffer_attempts: Count = 50_000
    """Held in memory while Kafka is away; more are lost, and counted."""
    buffer_bytes: Count = 33_554_432
    retention_days: Count = 30
    """Attempts and statistics are kept for so many days."""


class Geofence(Section):
    """Who entered and left which geofence."""

    topic: str = "planner.positions"
    """Positions are read here, and `vehicle.geofence.*` written."""
    state_topic: str = "webhooks.geofence"
    """Compacted; as many partitions as the topic of positions, or more."""
    exit_buffer_meters: Annotated[float, Field(ge=0)] = 30.0
    """Farther outside than this a vehicle has left at once; nearer at its second position in a row."""
    max_accuracy_meters: Positive = 100.0
    """Positions that are less accurate are no reason to say anything."""
