"""Table `operations`: what is told of changes."""

from collections.abc import Sequence
from typing import Protocol

from services.kernel.operation import Kept


class OperationStore(Protocol):
    """Table `operations`: what is told of changes is kept by whoever makes them, in one transaction."""

    async def waiting(self, *, limit: int) -> Sequence[Kept]:
        """Return what Kafka may not have yet, in order."""

    async def told(self, numbers: Sequence[int]) -> None:
        """Forget what Kafka has. A number that isn't there any more is fine."""
