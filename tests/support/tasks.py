"""Something that runs while a test looks at what it does."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def running(main: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run *main* until the block ends."""
    task = asyncio.create_task(main)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
