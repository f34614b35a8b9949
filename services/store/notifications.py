"""Word of changes through LISTEN/NOTIFY, over a line of its own that is made again when it is cut."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

import structlog

from services.kernel.clock import Clock
from services.kernel.errors import StoreGoneError
from services.store.pool import Pool

log = structlog.get_logger()

RECONNECT_SECONDS = 1.0
ALIVE_SECONDS = 15.0


async def notifications(
    pool: Pool, *, channel: str, clock: Clock
) -> AsyncGenerator[Collection[str] | None, None]:
    """Yield what was notified, bursts together; None after each connection was made."""
    while True:
        try:
            async with aclosing(_listen(pool, channel)) as heard:
                async for payloads in heard:
                    yield payloads
        except StoreGoneError as error:
            log.warning("notifications_wait", channel=channel, error=str(error))
        await clock.sleep(RECONNECT_SECONDS)


async def _listen(pool: Pool, channel: str) -> AsyncGenerator[Collection[str] | None, None]:
    async with pool.listening(channel) as connection:
        heard: set[str] = set()
        bell = asyncio.Event()

        def ring(_: object, __: int, ___: str, payload: object) -> None:
            heard.add(str(payload))
            bell.set()

        await connection.add_listener(channel, ring)
        connection.add_termination_listener(lambda _: bell.set())
        yield None
        while True:
            try:
                async with asyncio.timeout(ALIVE_SECONDS):
                    await bell.wait()
            except TimeoutError:
                await connection.execute("select 1")  # a dead line is noticed by speaking
                continue
            bell.clear()
            if connection.is_closed():
                raise StoreGoneError("the line that notifications come by was cut")
            payloads = list(heard)
            heard.clear()
            yield payloads
