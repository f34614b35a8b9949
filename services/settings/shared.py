"""What several roles need: Kafka, Postgres, the key of secrets, how to look in from outside."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from services.settings.values import (
    PREFIX,
    Count,
    Positive,
    Section,
    Share,
    Words,
    as_words,
    check_key,
    host_and_port,
    hosts_and_ports,
    postgres_address,
)


class Kafka(Section):
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

    _split = field_validator("topics", mode="before")(as_words)
    _listed = field_validator("bootstrap_servers")(hosts_and_ports)

    @model_validator(mode="after")
    def _signed_in(self) -> Self:
        if "SASL" in self.security_protocol and not (self.sasl_username and self.sasl_password):
            raise ValueError(
                f"{self.security_protocol} needs {PREFIX}KAFKA__SASL_USERNAME"
                f" and {PREFIX}KAFKA__SASL_PASSWORD"
            )
        return self


class Postgres(Section):
    """Configuration, retries, dead letters."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1/webhooks")
    """`postgresql://user:password@host:port/database?sslmode=…`"""
    pool_size: Count = 4
    timeout_seconds: Positive = 10.0
    """Of one statement."""

    _addressed = field_validator("dsn")(postgres_address)


class Secrets(Section):
    """Signing secrets are encrypted at rest with these."""

    key: SecretStr | None = None
    """32 bytes, base64; `planner-webhooks settings --new-key` prints one."""
    previous_keys: SecretStr = SecretStr("")
    """Older keys, comma-separated, still able to decrypt."""

    @field_validator("key", "previous_keys")
    @classmethod
    def _keys(cls, secret: SecretStr | None) -> SecretStr | None:
        for text in secret.get_secret_value().replace(",", " ").split() if secret else ():
            check_key(text)
        return secret


class Observe(Section):
    """Seen from outside."""

    listen: str | None = None
    """Address and port of /healthz, /readyz and /metrics; none: not served."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    log_share: Share = 0.0
    """Of the requests that succeed, 0 to 1: so many have a line in the log. Each that fails has one."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]+/")] | None = None
    """Where traces go (OTLP over HTTP), like http://collector:4318/v1/traces; none: there are none."""
    trace_share: Share = 0.0
    """Of the events without a `traceparent`, 0 to 1: so many begin a trace. The others' flag decides."""

    _listen = field_validator("listen")(host_and_port)
