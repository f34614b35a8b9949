"""Standard Webhooks signatures, https://github.com/standard-webhooks/standard-webhooks. Pure."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.kernel.ids import Entropy
from services.kernel.subscription import SignatureScheme, SigningKey

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, not a password
PUBLIC_PREFIX = "whpk_"
MIN_BYTES, MAX_BYTES = 24, 64
KEYED = 10_000


def new_key(scheme: SignatureScheme, *, entropy: Entropy) -> SigningKey:
    """Return a fresh key of *scheme*: 32 random bytes for either."""
    return SigningKey(scheme, entropy(SECRET_BYTES))


def secret_text(key: SigningKey) -> str:
    """Return what the receiver is shown once: `whsec_…` for v1, `whpk_…` (public) for v1a."""
    if key.scheme is SignatureScheme.V1:
        return SECRET_PREFIX + base64.b64encode(key.key).decode()
    return PUBLIC_PREFIX + base64.b64encode(public_key(key)).decode()


def public_key(key: SigningKey) -> bytes:
    """Return the 32 bytes of the public key of a v1a key."""
    private = Ed25519PrivateKey.from_private_bytes(key.key)
    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def parse_secret(text: str) -> bytes:
    """Return the key bytes of `whsec_…`. Raises ValueError with a sentence."""
    try:
        found = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError as error:  # binascii's, and that of characters beyond ASCII
        raise ValueError("a secret is whsec_ and base64") from error
    if not MIN_BYTES <= len(found) <= MAX_BYTES:
        raise ValueError(f"a secret has {MIN_BYTES} to {MAX_BYTES} bytes, this one {len(found)}")
    return found


def sign(keys: Sequence[SigningKey], *, id_: str, timestamp: int, body: bytes, now: float) -> str:
    """Return the `webhook-signature`: one signature per key that hasn't expired at *now*.

    Newest first, separated by spaces: both are valid while a secret is rotated.
    """
    content = b"%b.%d.%b" % (id_.encode(), timestamp, body)
    if len(keys) == 1 and keys[0].expires_at is None:  # as nearly always
        return _signature(keys[0], content)
    return " ".join(
        _signature(key, content) for key in keys if key.expires_at is None or key.expires_at > now
    )


@lru_cache(maxsize=KEYED)
def _keyed(key: bytes) -> hmac.HMAC:
    """Return the state after the key: a copy of it costs half of what OpenSSL takes to set it up."""
    return hmac.new(key, digestmod="sha256")


def _signature(key: SigningKey, content: bytes) -> str:
    if key.scheme is SignatureScheme.V1:
        state = _keyed(key.key).copy()
        state.update(content)
        return "v1," + binascii.b2a_base64(state.digest(), newline=False).decode()
    signature = Ed25519PrivateKey.from_private_bytes(key.key).sign(content)
    return "v1a," + binascii.b2a_base64(signature, newline=False).decode()
