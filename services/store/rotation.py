"""The key that encrypts what is secret in Postgres, rotated while everybody works.

Row by row: read with the key that it names, written with the first, unless it changed meanwhile; then
its writer has used the first key already, or it is found again. Stopped halfway it goes on where it
was, since what is done isn't found any more.
"""

import asyncpg

from services.store.cipher import Cipher, Encrypted
from services.store.pool import Pool, queries

BATCH = 500


class Rotation:
    """Brings everything under the first key of the cipher."""

    def __init__(self, *, pool: Pool, cipher: Cipher) -> None:
        self._pool = pool
        self._cipher = cipher

    async def run(self) -> dict[str, int]:
        """Return how many of each kind were encrypted anew; what was done stays, whatever follows.

        Raises CipherError where a row names a key that isn't there, and StoreGoneError.
        """
        sql = queries()
        return {
            "secrets": await self._all_of(sql["stale_secrets"], sql["reseal_secret"]),
            "headers": await self._all_of(sql["stale_headers"], sql["reseal_headers"]),
            "certificates": await self._all_of(
                sql["stale_certificates"], sql["reseal_certificate"]
            ),
            "answers": await self._all_of(sql["stale_answers"], sql["reseal_answer"]),
        }

    async def _all_of(self, stale: str, reseal: str) -> int:
        done = 0
        while True:
            async with self._pool.connection() as connection:
                rows = await connection.fetch(stale, self._cipher.current, BATCH)
                for row in rows:
                    done += await connection.fetchval(reseal, *self._resealed(row)) is not None
            if not rows:
                return done

    def _resealed(self, row: asyncpg.Record) -> tuple[str, bytes, str, bytes]:
        old = Encrypted(row["key_id"], row["ciphertext"])
        plain = self._cipher.decrypt(old, context=row["id"])
        new = self._cipher.encrypt(plain, context=row["id"])
        return row["id"], old.ciphertext, new.key_id, new.ciphertext
