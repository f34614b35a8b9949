"""The same answer again under the same Idempotency-Key, for 24 hours."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

from services.control.checks import is_storable
from services.kernel.clock import Clock
from services.kernel.errors import ConflictError, Fault, FaultsError
from services.kernel.ports.control import AnswerStore
from services.kernel.registration import Stored

MAX_KEY = 255


class Answers:
    """Keeps what was answered, so that a caller who heard nothing can ask again."""

    def __init__(self, *, store: AnswerStore, clock: Clock, hours: float) -> None:
        self._store = store
        self._clock = clock
        self._kept = timedelta(hours=hours)

    async def begin(
        self, caller: str, key: str, *, method: str, path: str, body: bytes
    ) -> Stored | None:
        """Return the stored answer, or None: then do it, and `finish` or `release`.

        Raises FaultsError for another body under the same key, ConflictError while the first
        request is still running.
        """
        if not 0 < len(key) <= MAX_KEY or not is_storable(key):
            message = f"an Idempotency-Key has 1 to {MAX_KEY} characters, in UTF-8"
            raise FaultsError(
                "The request is not valid", [Fault("limit", message, parameter="Idempotency-Key")]
            )
        request_hash = hashlib.sha256(f"{method} {path}\n".encode() + body).digest()
        now = self._clock.now()
        stored = await self._store.begin(caller, key, request_hash, at=now, after=now - self._kept)
        if stored is None:
            return None
        if stored.request_hash != request_hash:
            message = "this Idempotency-Key was used for another request"
            fault = Fault("idempotency_key", message, parameter="Idempotency-Key")
            raise FaultsError("The request is not valid", [fault])
        if stored.status is None:
            raise ConflictError("the first request under this Idempotency-Key is still running")
        return stored

    async def finish(
        self, caller: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Keep the answer."""
        await self._store.finish(caller, key, status=status, headers=headers, body=body)

    async def release(self, caller: str, key: str) -> None:
        """Forget the claim: the request changed nothing."""
        await self._store.release(caller, key)
