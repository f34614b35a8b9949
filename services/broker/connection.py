"""Where the brokers are and how to sign in."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from services.kernel.value import value

GONE = (KafkaError, OSError, TimeoutError, RuntimeError)
"""What a client raises when the brokers can't be reached, or don't answer in time.

The last is uvloop's: aiokafka may write to a connection in the instant in which it closes.
"""
STOP_SECONDS = 1.0


@value
class Connection:
    """How every client connects."""

    bootstrap_servers: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_check_hostname: bool = True

    def options(self) -> dict[str, Any]:
        """Return the arguments of an aiokafka client."""
        found: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if "SASL" in self.security_protocol:
            found |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        if "SSL" in self.security_protocol:
            context = create_ssl_context(
                cafile=self.ssl_cafile, certfile=self.ssl_certfile, keyfile=self.ssl_keyfile
            )
            context.check_hostname = self.ssl_check_hostname
            found["ssl_context"] = context
        return found

    def __repr__(self) -> str:
        return f"<Connection {self.security_protocol} {self.bootstrap_servers}>"


async def finished(work: Coroutine[Any, Any, None]) -> bool:
    """Do *work*; tell whether it came to its end.

    What aiokafka closes is cancelled by itself: it ends a fetch that waits to be tried again, or a
    beat, and lets that through to us.
    """
    task = asyncio.current_task()
    asked = task.cancelling() if task is not None else 0
    try:
        await work
    except asyncio.CancelledError:
        if task is None or task.cancelling() > asked:
            raise
        return False
    return True


async def stopped(consumer: AIOKafkaConsumer) -> None:
    """Stop *consumer*, its connections included. Unbounded in time."""
    if not await finished(consumer.stop()):
        await consumer._client.close()  # noqa: SLF001 - what it did not come to


async def disconnect(consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
    """Close both, within a second or so."""
    with suppress(*GONE):
        async with asyncio.timeout(STOP_SECONDS):
            await stopped(consumer)
            await finished(admin.close())
