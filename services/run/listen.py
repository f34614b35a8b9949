"""What `listen` sends with: the sender of the workers, to any address that the person names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.deliver.addresses import AddressPolicy
from services.deliver.send import SigningSender
from services.kernel.clock import SystemClock
from services.run import parts
from services.settings import Settings


@asynccontextmanager
async def local_sender(settings: Settings) -> AsyncIterator[SigningSender]:
    """Return a sender for the time of a command: this machine's own addresses are what it is for."""
    policy = AddressPolicy(allow_networks=("0.0.0.0/0", "::/0"), allow_http=True)
    async with parts.client(settings, policy) as client:
        yield parts.sender(settings, client, clock=SystemClock())
