"""Does a server really answer? A round trip, not an open port."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

SECONDS = 5.0


@contextmanager
def _quiet() -> Iterator[None]:
    """While a server starts, that it can't be reached is no error worth a line."""
    logger = logging.getLogger("aiokafka")
    was, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = was


async def kafka_answers(bootstrap_servers: str) -> bool:
    """Tell whether the brokers give a group coordinator, the last thing to be up after a start."""
    try:
        with _quiet():
            async with asyncio.timeout(SECONDS):
                await _round_trip(bootstrap_servers)
    except (KafkaError, OSError, TimeoutError):
        return False
    return True


async def _round_trip(bootstrap_servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        await admin.list_consumer_group_offsets("webhooks")
    finally:
        await admin.close()


async def postgres_answers(dsn: str) -> bool:
    """Tell whether Postgres runs a statement."""
    try:
        connection = await asyncpg.connect(dsn, timeout=SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False
    try:
        return bool(await connection.fetchval("select true"))
    finally:
        await connection.close()
