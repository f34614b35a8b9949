"""Client certificates of subscriptions at rest: certificate and key are encrypted together."""

import asyncpg
import orjson

from services.kernel.ids import SubscriptionId
from services.kernel.subscription import ClientCertificate
from services.store.cipher import Cipher, Encrypted


def sealed(
    cipher: Cipher, id_: SubscriptionId, certificate: ClientCertificate | None
) -> tuple[bytes | None, str | None]:
    """Return the columns `client_certificate` and `client_certificate_key_id`."""
    if certificate is None:
        return None, None
    plain = orjson.dumps(certificate._asdict())
    made = cipher.encrypt(plain, context=_context(id_))
    return made.ciphertext, made.key_id


def opened(cipher: Cipher, row: asyncpg.Record) -> ClientCertificate | None:
    """Return what the row of a subscription holds. Raises CipherError."""
    if row["client_certificate"] is None:
        return None
    made = Encrypted(row["client_certificate_key_id"], row["client_certificate"])
    return ClientCertificate(**orjson.loads(cipher.decrypt(made, context=_context(row["id"]))))


def _context(id_: str) -> str:
    """Return what it is bound to: the static headers of the same row are bound to something else."""
    return f"{id_}/client_certificate"
