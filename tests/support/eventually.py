"""Waiting for a condition, never for luck."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(
    condition: Callable[[], object | Awaitable[object]],
    *,
    within: float = 20.0,
    every: float = 0.02,
) -> None:
    """Return as soon as *condition* holds; fail when it doesn't *within* seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert loop.time() < until, f"not within {within} s: {condition}"
        await asyncio.sleep(every)
