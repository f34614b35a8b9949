"""A bell: rung by plain code, waited for by one task."""

import asyncio


class Wake:
    """Rings that come while nobody waits are remembered as one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Ring."""
        self._event.set()

    async def wait(self) -> None:
        """Wait for a ring, and take all rings so far."""
        await self._event.wait()
        self._event.clear()
