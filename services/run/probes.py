"""Does a server really answer? A round trip, not an open port."""

import asyncio

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

SECONDS = 5.0


async def kafka_answers(bootstrap_servers: str) -> bool:
    """Tell whether the brokers give a group coordinator, the last thing to be up after a start."""
    try:
        async with asyncio.timeout(SECONDS):
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
            try:
                await admin.start()
                await admin.list_consumer_group_offsets("webhooks")
            finally:
                await admin.close()
    except (KafkaError, OSError, TimeoutError):
        return False
    return True


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
