"""Secrets at rest: AES-256-GCM with a key from the environment, its id stored beside.

The context (an object's id) is authenticated too, so that a ciphertext moved to another row is
refused. Keys rotate: new rows use the first key, older ones are read with the key they name.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.kernel.errors import UnfitSettingError
from services.kernel.ids import Entropy

KEY_BYTES = 32
NONCE_BYTES = 12


class CipherError(UnfitSettingError):
    """What is encrypted in Postgres can't be read with the keys of the environment."""


class Encrypted(NamedTuple):
    """A ciphertext and which key reads it."""

    key_id: str
    ciphertext: bytes


class Cipher:
    """Encrypts with the first key, decrypts with any."""

    def __init__(self, *, keys: Sequence[bytes], entropy: Entropy) -> None:
        self._entropy = entropy
        self._current = key_id(keys[0])
        self._keys = {key_id(key): AESGCM(key) for key in keys}

    @property
    def current(self) -> str:
        """The name of the key that encrypts."""
        return self._current

    def encrypt(self, plain: bytes, *, context: str) -> Encrypted:
        """Return *plain*, encrypted for *context*."""
        nonce = self._entropy(NONCE_BYTES)
        sealed = self._keys[self._current].encrypt(nonce, plain, context.encode())
        return Encrypted(self._current, nonce + sealed)

    def decrypt(self, encrypted: Encrypted, *, context: str) -> bytes:
        """Return what was encrypted for *context*. Raises CipherError."""
        key = self._key(encrypted.key_id)
        nonce, sealed = encrypted.ciphertext[:NONCE_BYTES], encrypted.ciphertext[NONCE_BYTES:]
        try:
            return key.decrypt(nonce, sealed, context.encode())
        except InvalidTag as error:
            raise CipherError(f"the secret of {context} was altered or moved") from error

    def check(self, key_ids: Iterable[str]) -> None:
        """Raise CipherError where one of these keys is none of ours."""
        for id_ in key_ids:
            self._key(id_)

    def _key(self, id_: str) -> AESGCM:
        key = self._keys.get(id_)
        if key is None:
            raise CipherError(
                f"WEBHOOKS_SECRETS__KEY is {self._current}, and secrets in Postgres were encrypted"
                f" with key {id_}: put that one into WEBHOOKS_SECRETS__PREVIOUS_KEYS"
            )
        return key


def key_id(key: bytes) -> str:
    """Return the public name of a key: 8 hex of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:8]


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a base64 key. Raises ValueError with a sentence."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise ValueError("a key is 32 bytes in base64") from error
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, this one has {len(key)}")
    return key
