"""Where the brokers are and how to sign in."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.helpers import create_ssl_context

from services.kernel.value import value

P = ParamSpec("P")
T = TypeVar("T")

GONE = (KafkaError, OSError, TimeoutError, RuntimeError)
"""What a client raises when the brokers can't be reached, or don't answer in time.

The last is uvloop's, of a connection that closes in this instant.
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


def _broken_if_closed(
    write: Callable[Concatenate[AIOKafkaConnection, P], T],
) -> Callable[Concatenate[AIOKafkaConnection, P], T]:
    """Have a connection that has closed in this instant be what it is: broken.

    uvloop raises RuntimeError there, asyncio nothing, and aiokafka expects OSError alone
    (github.com/aio-libs/aiokafka/issues/1038). It ends the task that keeps a client's metadata, without
    a word, and whoever waits for metadata then waits for ever: a member that reads on but never beats
    or commits again.
    """

    def written(self: AIOKafkaConnection, /, *args: P.args, **options: P.kwargs) -> T:
        try:
            return write(self, *args, **options)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
            raise KafkaConnectionError(str(error)) from error

    return written


for _name in ("send", "_send_sasl_token"):
    setattr(AIOKafkaConnection, _name, _broken_if_closed(getattr(AIOKafkaConnection, _name)))
