"""Table `idempotency`: answers are kept encrypted, since one may hold a secret shown once."""

from collections.abc import Mapping
from datetime import datetime

import orjson

from services.kernel.registration import Stored
from services.store.cipher import Cipher, Encrypted
from services.store.pool import Pool


class PostgresAnswers:
    """The `AnswerStore` of the API."""

    def __init__(self, *, pool: Pool, cipher: Cipher) -> None:
        self._pool = pool
        self._cipher = cipher

    async def begin(
        self, caller: str, key: str, request_hash: bytes, *, at: datetime, after: datetime
    ) -> Stored | None:
        """Claim *key*, and return None; or what is stored under it and younger than *after*."""
        claimed = await self._pool.fetchrow("begin_answer", caller, key, request_hash, at, after)
        if claimed is not None:
            return None
        row = await self._pool.fetchrow("stored_answer", caller, key)
        if row is None:  # released in between: the caller may try again
            return Stored(request_hash, None, {}, b"")
        body = b""
        if row["body"] is not None:
            sealed = Encrypted(row["body_key_id"], row["body"])
            body = self._cipher.decrypt(sealed, context=caller + key)
        headers = orjson.loads(row["headers"]) if row["headers"] else {}
        return Stored(row["request_hash"], row["status"], headers, body)

    async def finish(
        self, caller: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Store the answer."""
        sealed = self._cipher.encrypt(body, context=caller + key)
        await self._pool.execute(
            "finish_answer",
            caller,
            key,
            status,
            orjson.dumps(dict(headers)).decode(),
            sealed.ciphertext,
            sealed.key_id,
        )

    async def release(self, caller: str, key: str) -> None:
        """Forget the claim."""
        await self._pool.execute("release_answer", caller, key)

    async def expire(self, *, before: datetime) -> None:
        """Forget answers from *before*."""
        await self._pool.execute("expire_answers", before)
