"""What a scanner's reading costs is counted, and nothing else."""

import asyncio

import pytest

from services.dispatch.turns import metered


class Ticks:
    """A clock that others move."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


async def test_work_counts_and_waiting_does_not() -> None:
    ticks = Ticks()
    there = asyncio.Event()

    async def read() -> str:
        ticks.now += 2
        await there.wait()
        ticks.now += 3
        return "read"

    async def others() -> None:
        ticks.now += 100
        there.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(others())
        assert await metered(read(), ticks.monotonic) == ("read", 5)


async def test_what_work_raises_comes_through() -> None:
    async def read() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        await metered(read(), Ticks().monotonic)


async def test_work_is_told_that_it_is_cancelled() -> None:
    told = False

    async def read() -> None:
        nonlocal told
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told = True
            raise

    task = asyncio.ensure_future(metered(read(), Ticks().monotonic))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told
