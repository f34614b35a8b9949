"""Everything configurable, read once from `WEBHOOKS_SECTION__FIELD`, frozen.

Durations are numbers with the unit in the name. Only `run` and `cli` read settings; the stages get
values. All faults are reported at once, and an unknown `WEBHOOKS_` variable with the nearest name.
"""

import base64
import difflib
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

PREFIX = "WEBHOOKS_"
MAX_PORT = 65_535
KEY_BYTES = 32
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(gt=0)]
Words = Annotated[tuple[str, ...], NoDecode]
_BROKER = re.compile(r"(?:\[[0-9a-f:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?\Z", re.IGNORECASE)


def _words(text: object) -> object:
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text


def _listen(text: str | None) -> str | None:
    host, _, port = (text or "").rpartition(":")
    if text is not None and not (host and port.isdecimal() and int(port) <= MAX_PORT):
        raise ValueError(f"{text!r} is not host:port, like 127.0.0.1:8080")
    return text


def _brokers(text: str) -> str:
    for address in text.split(","):
        match = _BROKER.match(address.strip())
        if match is None or int(match[1] or 1) > MAX_PORT:
            raise ValueError(f"{address!r} is not host:port, like kafka-1:9092")
    return text


def _key(text: str) -> None:
    try:
        length = len(base64.b64decode(text, validate=True))
    except ValueError as error:  # binascii's, and that of characters beyond ASCII
        raise ValueError("not base64; `planner-webhooks settings --new-key` prints one") from error
    if length != KEY_BYTES:
        raise ValueError(f"{length} bytes instead of {KEY_BYTES}")


def _networks(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        try:
            (IPv6Network if ":" in word else IPv4Network)(word)
        except ValueError as error:
            raise ValueError(f"{word!r} is no network, like 10.1.0.0/16: {error}") from error
    return words


TILES = r"^https?://[A-Za-z0-9.:\[\]-]+/\S*$"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Kafka(_Section):
    """The log. Any Apache Kafka from 2.5 on."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Host and port of some brokers, comma-separated."""
    group: str = "webhooks"
    """The consumer group, whose offsets are where delivery stands."""
    topics: Annotated[Words, Field(min_length=1)] = (
        "planner.events", "planner.master", "planner.positions",
    )  # fmt: skip
    """Topics to read; `webhooks.ops` is always among them."""
    quarantine_topic: str = "webhooks.quarantine"
    """Where records go that are no events."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: str | None = None
    """PEM file of the authorities that sign the brokers' certificates; default: the system's."""
    ssl_certfile: str | None = None
    """PEM file of our own certificate, where brokers ask for one."""
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True
    session_timeout_seconds: Positive = 10.0
    """A member that is silent for so long loses its partitions."""
    rebalance_timeout_seconds: Positive = 30.0
    """How long members may drain when partitions move."""
    fetch_max_wait_ms: Count = 100
    max_partition_fetch_bytes: Count = 524_288
    fetch_max_bytes: Count = 16_777_216
    max_record_bytes: Count = 1_048_576
    """Larger records are quarantined."""
    replication_factor: Count = 1
    """Of the topics that `migrate` creates."""

    _split = field_validator("topics", mode="before")(_words)
    _listed = field_validator("bootstrap_servers")(_brokers)

    @model_validator(mode="after")
    def _signed_in(self) -> Self:
        if "SASL" in self.security_protocol and not (self.sasl_username and self.sasl_password):
            raise ValueError(
                f"{self.security_protocol} needs {PREFIX}KAFKA__SASL_USERNAME"
                f" and {PREFIX}KAFKA__SASL_PASSWORD"
            )
        return self


class Postgres(_Section):
    """Configuration, retries, dead letters."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1/webhooks")
    """`postgresql://user:password@host:port/database?sslmode=…`"""
    pool_size: Count = 4
    timeout_seconds: Positive = 10.0
    """Of one statement."""


class Api(_Section):
    """The REST API."""

    listen: str = "127.0.0.1:8080"
    """Address and port; port 0 takes a free one."""
    admin_key: SecretStr | None = None
    """Key of the operator; without one nobody has the scope `admin`."""
    max_body_bytes: Count = 5_242_880
    """Larger requests are refused with 413 before they are read whole."""
    idempotency_hours: Positive = 24.0
    key_requests_per_second: Positive = 100.0
    """What one API key may ask of one process, twice as much for a moment; else 429. Not the operator."""
    audit_days: Positive = 365.0
    """How long it is kept who changed what."""
    dry_run_events: Count = 20_000
    """Events of the project after which a dry run of a filter ends."""
    dry_run_seconds: Positive = 5.0
    """Seconds after which it ends; then it says how far it came."""

    _listen = field_validator("listen")(_listen)


class Dashboard(_Section):
    """Pages for people, served by the API at `/`."""

    enabled: bool = True
    """Whether they are served."""
    session_minutes: Positive = 30.0
    """A session ends after so long without a request; at the latest after 12 hours."""
    public_url: str | None = None
    """Where people open it, `https://hooks.example.com`, if a proxy changes scheme or host."""
    trusted_header: str | None = None
    """Header in which a proxy says who has signed in there; none: people sign in with an API key."""
    trusted_proxies: Words = ()
    """Networks (CIDR) from which that header is believed."""
    trusted_scopes: Words = ("read",)
    """What whoever it names may do, in every project: read, manage, ingest, admin."""
    tile_url: Annotated[str, Field(pattern=TILES)] | None = None
    """Pictures under the map, `https://tiles.example.com/{z}/{x}/{y}.png`; none: it is drawn without."""
    tile_attribution: str = ""
    """What the tiles' owner wants to be said of them, below the map."""

    _split = field_validator("trusted_proxies", "trusted_scopes", mode="before")(_words)
    _networks = field_validator("trusted_proxies")(_networks)

    @field_validator("public_url")
    @classmethod
    def _origin(cls, text: str | None) -> str | None:
        if text is not None and not re.fullmatch(r"https?://[^/\s]+/?", text):
            raise ValueError(f"{text!r} is no scheme and host, like https://hooks.example.com")
        return text and text.rstrip("/")

    @field_validator("tile_url")
    @classmethod
    def _tiles(cls, text: str | None) -> str | None:
        missing = [name for name in ("{z}", "{x}", "{y}") if text is not None and name not in text]
        if missing:
            raise ValueError(f"{text!r} lacks {' and '.join(missing)}")
        return text

    @field_validator("trusted_scopes")
    @classmethod
    def _known(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if word not in ("read", "manage", "ingest", "admin"):
                raise ValueError(f"{word!r} is none of read, manage, ingest, admin")
        return words

    @model_validator(mode="after")
    def _believed(self) -> Self:
        if self.trusted_header and not self.trusted_proxies:
            raise ValueError(
                f"{PREFIX}DASHBOARD__TRUSTED_HEADER needs {PREFIX}DASHBOARD__TRUSTED_PROXIES:"
                " anybody else could send it too"
            )
        return self


class Secrets(_Section):
    """Signing secrets are encrypted at rest with these."""

    key: SecretStr | None = None
    """32 bytes, base64; `planner-webhooks settings --new-key` prints one."""
    previous_keys: SecretStr = SecretStr("")
    """Older keys, comma-separated, still able to decrypt."""

    @field_validator("key", "previous_keys")
    @classmethod
    def _keys(cls, secret: SecretStr | None) -> SecretStr | None:
        for text in secret.get_secret_value().replace(",", " ").split() if secret else ():
            _key(text)
        return secret


class Deliver(_Section):
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
    )(_words)  # fmt: skip

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
        _networks
    )


class Retry(_Section):
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
        return _words(text)


class Dispatch(_Section):
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
    reload_seconds: Positive = 60.0
    """How often all subscriptions are read again, in case a notification was lost."""
    start_timeout_seconds: Positive = 60.0
    """How long Kafka and Postgres are waited for at start."""
    stuck_seconds: Positive = 90.0
    """A consumer that reads nothing for so long, though there is something to read, ends the process.

    Longer than a rebalance may take (`WEBHOOKS_KAFKA__REBALANCE_TIMEOUT_SECONDS`)."""


class Record(_Section):
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


class Geofence(_Section):
    """Who entered and left which geofence."""

    topic: str = "planner.positions"
    """Positions are read here, and `vehicle.geofence.*` written."""
    state_topic: str = "webhooks.geofence"
    """Compacted; as many partitions as the topic of positions, or more."""
    exit_buffer_meters: Annotated[float, Field(ge=0)] = 30.0
    """Farther outside than this a vehicle has left at once; nearer at its second position in a row."""
    max_accuracy_meters: Positive = 100.0
    """Positions that are less accurate are no reason to say anything."""


class Observe(_Section):
    """Seen from outside."""

    listen: str | None = None
    """Address and port of /healthz, /readyz and /metrics; none: not served."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    log_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the requests that succeed, 0 to 1: so many have a line in the log. Each that fails has one."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]+/")] | None = None
    """Where traces go (OTLP over HTTP), like http://collector:4318/v1/traces; none: there are none."""
    trace_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of the events without a `traceparent`, 0 to 1: so many begin a trace. The others' flag decides."""

    _listen = field_validator("listen")(_listen)


class Cli(_Section):
    """Defaults of the command line."""

    api: str = "http://127.0.0.1:8080"
    """Where the API is."""
    key: SecretStr | None = None
    """API key."""


class Settings(BaseSettings):
    """All sections."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # it may be a secret, and a traceback shows the cause
    )

    kafka: Kafka = Kafka()
    postgres: Postgres = Postgres()
    api: Api = Api()
    dashboard: Dashboard = Dashboard()
    secrets: Secrets = Secrets()
    deliver: Deliver = Deliver()
    retry: Retry = Retry()
    dispatch: Dispatch = Dispatch()
    record: Record = Record()
    geofence: Geofence = Geofence()
    observe: Observe = Observe()
    cli: Cli = Cli()


class InvalidSettingsError(ValueError):
    """Settings that can't be used: `faults` has a line per variable, all of them at once."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


_HINT = f"set what you need of it as {PREFIX}SECTION__FIELD"


def load() -> Settings:
    """Read the settings from the environment. Raises InvalidSettingsError; never shows a secret."""
    try:
        return Settings()
    except ValidationError as error:
        raise InvalidSettingsError([_sentence(fault) for fault in error.errors()]) from error
    except SettingsError as error:  # a whole section as JSON, and it isn't JSON
        section = str(error).partition('field "')[2].partition('"')[0].upper()
        raise InvalidSettingsError([f"{PREFIX}{section}: not JSON; {_HINT}"]) from error


def _sentence(fault: ErrorDetails) -> str:
    section, *rest = fault["loc"]
    variable = f"{PREFIX}{'__'.join(map(str, (section, *rest[:1])))}".upper()
    return f"{variable}: {fault['msg'].removeprefix('Value error, ')}"


def variables() -> Iterator[tuple[str, str, str]]:
    """Yield (variable, section, field) of everything that can be set."""
    for section, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type) and issubclass(model, BaseModel)  # noqa: PT018, S101
        for field in model.model_fields:
            yield f"{PREFIX}{section}__{field}".upper(), section, field


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Say, a sentence each, which `WEBHOOKS_` variables are ignored, with the nearest name."""
    known = [variable.removeprefix(PREFIX) for variable, _, _ in variables()]
    whole = [section.upper() for section in Settings.model_fields]  # as JSON
    sentences = []
    for given in sorted(environ):
        name = given.upper().removeprefix(PREFIX)
        if not given.upper().startswith(PREFIX) or name in (*known, *whole):
            continue
        if name.startswith("TEST_"):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {PREFIX}{near[0]}?" if near else ""
        sentences.append(f"{given} is not a setting and was ignored{hint}")
    return sentences
