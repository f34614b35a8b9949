"""What several roles build from the settings in the same way."""

import asyncio
import os
import random
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack

import structlog

from services.broker.connection import Connection
from services.broker.member import MemberOptions
from services.broker.offsets import KafkaOffsets
from services.broker.producer import KafkaProducer
from services.broker.topics import all_exist
from services.deliver.addresses import AddressPolicy
from services.deliver.http import GuardedClient, check_sources
from services.deliver.send import SigningSender
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError
from services.kernel.operation import OPS_TOPIC
from services.kernel.ports.broker import Producer
from services.kernel.ports.trace import Tracer
from services.observe.health import Standing
from services.record.buffer import Attempts, Bounds
from services.run.starting import waited_for
from services.settings import InvalidSettingsError, Settings
from services.store.cipher import Cipher, parse_key
from services.store.migrate import all_taken
from services.store.pool import Pool
from services.version import VERSION

log = structlog.get_logger()


def connection(settings: Settings) -> Connection:
    """Return how to reach Kafka. Raises InvalidSettingsError where its files can't be used."""
    kafka = settings.kafka
    password = kafka.sasl_password
    found = Connection(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        sasl_username=kafka.sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=kafka.ssl_cafile,
        ssl_certfile=kafka.ssl_certfile,
        ssl_keyfile=kafka.ssl_keyfile,
        ssl_check_hostname=kafka.ssl_check_hostname,
    )
    try:
        found.options()
    except OSError as error:
        names = "WEBHOOKS_KAFKA__SSL_CAFILE, __SSL_CERTFILE or __SSL_KEYFILE"
        raise _no_pem(names, error) from error
    return found


def instance(settings: Settings) -> str:
    """Return the name of this process among those of its role: what is set, else the host's."""
    return settings.dispatch.instance or socket.gethostname()


def member_options(
    settings: Settings,
    *,
    group: str,
    topics: Sequence[str],
    partition_bytes: int | None = None,
) -> MemberOptions:
    """Return how a role joins *group*; *partition_bytes*: fetched at once of one, else as configured."""
    kafka = settings.kafka
    return MemberOptions(
        group=group,
        topics=topics,
        instance=instance(settings),
        session_timeout=kafka.session_timeout_seconds,
        rebalance_timeout=kafka.rebalance_timeout_seconds,
        start_timeout=settings.dispatch.start_timeout_seconds,
        fetch_max_wait_ms=kafka.fetch_max_wait_ms,
        fetch_max_bytes=kafka.fetch_max_bytes,
        max_partition_fetch_bytes=partition_bytes or kafka.max_partition_fetch_bytes,
    )


async def pool(
    settings: Settings, stack: AsyncExitStack, *, standing: Standing | None = None
) -> Pool:
    """Return connections to Postgres once it has the tables; *stack* closes them.

    *standing* is told what is waited for. Raises StartError.
    """
    dsn = settings.postgres.dsn.get_secret_value()
    seconds = settings.dispatch.start_timeout_seconds
    found = Pool(
        dsn=dsn, size=settings.postgres.pool_size, seconds=settings.postgres.timeout_seconds
    )
    stack.push_async_callback(found.close)
    await waited_for("Postgres", found.open, seconds=seconds, standing=standing)
    await waited_for("tables", lambda: all_taken(dsn), seconds=seconds, standing=standing)
    return found


async def producer(
    settings: Settings, stack: AsyncExitStack, *, standing: Standing
) -> KafkaProducer:
    """Return what writes to Kafka, connected; *stack* stops it. Raises StartError."""
    found = KafkaProducer(
        connection=connection(settings), max_record_bytes=settings.kafka.max_record_bytes
    )
    stack.push_async_callback(_stop, found)
    seconds = settings.dispatch.start_timeout_seconds
    await waited_for("Kafka", found.start, seconds=seconds, standing=standing)
    return found


async def offsets(
    settings: Settings, stack: AsyncExitStack, *, group: str, standing: Standing
) -> KafkaOffsets:
    """Return what knows where *group* stands, connected; *stack* stops it. Raises StartError."""
    found = KafkaOffsets(connection=connection(settings), group=group)
    stack.push_async_callback(found.stop)
    seconds = settings.dispatch.start_timeout_seconds
    await waited_for("Kafka", found.start, seconds=seconds, standing=standing)
    return found


async def topics_made(settings: Settings, names: Sequence[str], *, standing: Standing) -> None:
    """Wait until `migrate` has made the topics *names*. Raises StartError."""
    reached = connection(settings)
    await waited_for(
        "topics",
        lambda: all_exist(reached, names),
        seconds=settings.dispatch.start_timeout_seconds,
        standing=standing,
    )


async def _stop(producer: KafkaProducer) -> None:
    """Stop *producer*. Who needs to know waited for each record; the end of a role is no failure."""
    try:
        await producer.stop()
    except BrokerGoneError as error:
        log.warning("producer_stop", error=str(error))


def attempts(
    settings: Settings, producer: Producer, *, worker: str, clock: Clock
) -> Attempts | None:
    """Return what writes the history of *worker*'s attempts, to be `run`; None: none is kept."""
    record = settings.record
    if not record.enabled:
        return None
    bounds = Bounds(
        attempts=record.buffer_attempts,
        bytes=record.buffer_bytes,
        seconds=record.flush_ms / 1000,
    )
    return Attempts(
        producer=producer,
        topic=record.topic,
        worker=worker,
        bounds=bounds,
        clock=clock,
        entropy=os.urandom,
    )


def topics(settings: Settings) -> list[str]:
    """Return the topics that are read; operational events are delivered like any other."""
    return [*dict.fromkeys((*settings.kafka.topics, OPS_TOPIC))]


def cipher(settings: Settings) -> Cipher:
    """Return what reads and writes secrets. Raises InvalidSettingsError where its key is missing."""
    secrets = settings.secrets
    if secrets.key is None:
        missing = (
            "WEBHOOKS_SECRETS__KEY: not set; signing secrets are encrypted with it."
            " `planner-webhooks settings --new-key` prints one; keep it as you keep the database"
        )
        raise InvalidSettingsError([missing])
    texts = [secrets.key.get_secret_value()]
    texts += secrets.previous_keys.get_secret_value().replace(",", " ").split()
    try:
        return Cipher(keys=[parse_key(text) for text in texts], entropy=os.urandom)
    except ValueError as error:
        raise InvalidSettingsError(
            [f"WEBHOOKS_SECRETS__KEY or __PREVIOUS_KEYS: {error}"]
        ) from error


def policy(settings: Settings) -> AddressPolicy:
    """Return which addresses may be called."""
    return AddressPolicy(
        allow_networks=settings.deliver.allow_networks, allow_http=settings.deliver.allow_http
    )


def client(settings: Settings, policy: AddressPolicy) -> GuardedClient:
    """Return the door to the network; inside of the running loop. Raises InvalidSettingsError."""
    deliver = settings.deliver
    own = (deliver.client_cert_file, deliver.client_key_file)
    try:
        check_sources(deliver.source_addresses)
    except OSError as error:
        raise InvalidSettingsError(
            [f"WEBHOOKS_DELIVER__SOURCE_ADDRESSES: not an address of this machine: {error}"]
        ) from error
    try:
        return GuardedClient(
            policy=policy,
            connect_seconds=deliver.connect_timeout_seconds,
            idle_seconds=deliver.idle_seconds,
            response_bytes=deliver.response_bytes,
            ca_file=deliver.ca_file,
            certificate=(own[0], own[1]) if own[0] and own[1] else None,
            sources=deliver.source_addresses,
        )
    except OSError as error:
        names = "WEBHOOKS_DELIVER__CA_FILE, __CLIENT_CERT_FILE or __CLIENT_KEY_FILE"
        raise _no_pem(names, error) from error


def _no_pem(names: str, error: OSError) -> InvalidSettingsError:
    return InvalidSettingsError([f"{names}: no PEM file that can be read: {error}"])


def sender(settings: Settings, client: GuardedClient, *, clock: Clock) -> SigningSender:
    """Return what signs requests and makes them."""
    return SigningSender(
        client=client,
        clock=clock,
        user_agent=user_agent(settings),
        randbytes=random.Random(os.urandom(16)).randbytes,  # noqa: S311 - ids of spans, no secrets
    )


def tracer(settings: Settings, stack: AsyncExitStack, *, instance: str) -> Tracer | None:
    """Return who is told of traces; None: nobody wants to know. *stack* sends what is left.

    Raises InvalidSettingsError where the packages are missing.
    """
    endpoint = settings.observe.otlp_endpoint
    if endpoint is None:
        return None
    try:
        # Part of the extra `otlp`; who wants no traces loads none of it.
        from services.observe.tracing import SpanTracer, batches, described  # noqa: PLC0415
    except ModuleNotFoundError as error:
        missing = f"{error.name} is not installed: install planner-webhooks[otlp]"
        raise InvalidSettingsError([f"WEBHOOKS_OBSERVE__OTLP_ENDPOINT: {missing}"]) from error
    ids = random.Random(os.urandom(16))  # noqa: S311 - ids of spans, no secrets
    found = SpanTracer(
        processor=batches(endpoint),
        resource=described(instance),
        share=settings.observe.trace_share,
        chance=ids.random,
        randbits=ids.getrandbits,
    )
    stack.push_async_callback(asyncio.to_thread, found.close)
    return found


def user_agent(settings: Settings) -> str:
    """Return what receivers see us as."""
    return f"Planner-Webhooks/{VERSION} (+{settings.deliver.user_agent_url})"
