"""A client that ends: what it cancels of its own doesn't end us."""

import asyncio

import pytest

from services.broker.connection import stopped


class Consumer:
    """Ends a task of its own, and lets that through to its caller, as aiokafka does now and then."""

    def __init__(self) -> None:
        self._client = self
        self.is_closed = False

    async def stop(self) -> None:
        mine = asyncio.ensure_future(asyncio.sleep(3_600))
        mine.cancel()
        await mine

    async def close(self) -> None:
        self.is_closed = True


class Slow(Consumer):
    async def stop(self) -> None:
        await asyncio.sleep(3_600)


async def test_what_a_client_cancels_itself_is_no_end_of_ours_and_its_connections_are_closed() -> (
    None
):
    consumer = Consumer()
    await stopped(consumer)  # type: ignore[arg-type]
    assert consumer.is_closed


async def test_whoever_stops_us_meanwhile_is_heard() -> None:
    stopping = asyncio.ensure_future(stopped(Slow()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
