"""`planner-webhooks rotate-secrets-key`: everything under the present key, without downtime."""

from contextlib import AsyncExitStack

from services.run import parts
from services.settings import Settings
from services.store.rotation import Rotation


async def main(settings: Settings) -> dict[str, int]:
    """Return how many rows of each kind were encrypted anew.

    Raises InvalidSettingsError, StartError, CipherError, StoreGoneError.
    """
    cipher = parts.cipher(settings)
    async with AsyncExitStack() as stack:
        pool = await parts.pool(settings, stack)
        return await Rotation(pool=pool, cipher=cipher).run()
