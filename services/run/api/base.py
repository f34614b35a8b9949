"""What all parts of the API stand on: connections that are there, readers of the log, the sender."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from services.broker.offsets import KafkaOffsets
from services.broker.producer import KafkaProducer
from services.broker.reader import KafkaLogReader, ReaderOptions
from services.control.access import weakness
from services.control.readers import Readers
from services.deliver.addresses import AddressPolicy
from services.deliver.http import GuardedClient
from services.deliver.send import SigningSender
from services.feed.decode import Decoder
from services.kernel.clock import Clock, SystemClock
from services.kernel.ports.broker import LogReader
from services.observe.health import Standing
from services.record.buffer import Attempts
from services.run import parts
from services.run.api.stores import Stores, stores
from services.settings import InvalidSettingsError, Settings
from services.store.cipher import Cipher
from services.store.pool import Pool

HEADS = ReaderOptions(max_partition_fetch_bytes=16 << 10)
"""Of readers that want one record of each of many partitions: a page would wait for megabytes of each."""


class LogReaders(NamedTuple):
    """Readers of the log. Who waits for one of a kind is not in the way of those who want another."""

    make: Callable[[], LogReader]
    pages: Readers
    """Of the journal, for people who wait."""
    jobs: Readers
    heads: Readers


class Base(NamedTuple):
    """What is connected, and how."""

    settings: Settings
    clock: Clock
    admin_key: str | None
    cipher: Cipher
    pool: Pool
    stores: Stores
    producer: KafkaProducer
    offsets: KafkaOffsets
    readers: LogReaders
    policy: AddressPolicy
    client: GuardedClient
    sender: SigningSender
    attempts: Attempts | None
    """What keeps test calls; None: no history is kept."""

    @property
    def topics(self) -> Sequence[str]:
        """Return the topics that are read."""
        return parts.topics(self.settings)

    @property
    def name(self) -> str:
        """Return the name of this process among those that do jobs."""
        return f"{socket.gethostname()}/{os.getpid()}"

    @property
    def max_body_bytes(self) -> int:
        """Return how large a body may be that goes to a receiver."""
        return self.settings.deliver.max_body_bytes

    def decoder(self) -> Decoder:
        """Return what makes events of records."""
        return Decoder(max_bytes=self.settings.kafka.max_record_bytes)


async def connected(settings: Settings, stack: AsyncExitStack, standing: Standing) -> Base:
    """Wait for Postgres and Kafka; *stack* closes what is open.

    Raises InvalidSettingsError, CipherError, StartError.

    What settings alone can tell comes first: nobody waits a minute to read that a key is missing.
    """
    clock = SystemClock()
    admin_key, cipher = _admin_key(settings), parts.cipher(settings)
    pool = await parts.pool(settings, stack, standing=standing)
    producer = await parts.producer(settings, stack, standing=standing)
    policy = parts.policy(settings)
    client = await stack.enter_async_context(parts.client(settings, policy))
    kept = stores(pool, cipher)
    await kept.registrations.check_keys()
    return Base(
        settings=settings,
        clock=clock,
        admin_key=admin_key,
        cipher=cipher,
        pool=pool,
        stores=kept,
        producer=producer,
        offsets=await parts.offsets(settings, stack, group=settings.kafka.group, standing=standing),
        readers=_readers(settings, stack),
        policy=policy,
        client=client,
        sender=parts.sender(settings, client, clock=clock),
        attempts=parts.attempts(
            settings, producer, worker=f"api/{socket.gethostname()}", clock=clock
        ),
    )


def _admin_key(settings: Settings) -> str | None:
    """Return the operator's key. Raises InvalidSettingsError where it could be guessed."""
    if settings.api.admin_key is None:
        return None
    key = settings.api.admin_key.get_secret_value()
    weak = weakness(key)
    if weak is not None:
        raise InvalidSettingsError([f"WEBHOOKS_API__ADMIN_KEY: {weak}"])
    return key


def _readers(settings: Settings, stack: AsyncExitStack) -> LogReaders:
    make = partial(KafkaLogReader, connection=parts.connection(settings))
    kinds = [Readers(make), Readers(make), Readers(partial(make, options=HEADS))]
    for kind in kinds:
        stack.push_async_callback(kind.stop)
    return LogReaders(make, *kinds)
