"""What a receiver does with a request: is it ours, whole and fresh? If not, why not. Pure.

The inverse of `signing`. Refusals say what most probably happened, because "no match" is what people
lose an afternoon to: the body is tried in the forms that frameworks make of it.
"""

import base64
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.deliver.signing import PUBLIC_PREFIX, parse_secret

TOLERANCE_SECONDS = 300.0
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
PUBLIC_BYTES = 32
MAX_DIGITS = 15
"""Of seconds: more would not be a time."""


class Verification(NamedTuple):
    """The answer, and why."""

    valid: bool
    reason: str
    """`ok`, `header_missing`, `timestamp`, `too_old`, `ahead`, `version`, `body_changed`, `no_match`."""
    message: str
    """A sentence for people."""


class Verifier(NamedTuple):
    """One secret or public key, as a receiver holds it."""

    version: str
    key: bytes

    def fits(self, signature: bytes, content: bytes) -> bool:
        """Tell whether *signature* is that of *content*, in constant time."""
        if self.version == "v1":
            return hmac.compare_digest(hmac.digest(self.key, content, "sha256"), signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, content)
        except InvalidSignature:
            return False
        return True


def parse(text: str) -> Verifier:
    """Return the verifier of `whsec_…` or `whpk_…`. Raises ValueError with a sentence."""
    if not text.startswith(PUBLIC_PREFIX):
        return Verifier("v1", parse_secret(text))
    try:
        key = base64.b64decode(text.removeprefix(PUBLIC_PREFIX), validate=True)
    except ValueError as error:
        raise ValueError("a public key is whpk_ and base64") from error
    if len(key) != PUBLIC_BYTES:
        raise ValueError(f"a public key has {PUBLIC_BYTES} bytes, this one {len(key)}")
    return Verifier("v1a", key)


def read_headers(text: bytes) -> dict[str, str]:
    """Return `Name: value` lines or JSON as headers, in lower case. Raises ValueError with a sentence."""
    if text.lstrip().startswith(b"{"):
        pairs = [(str(name), str(value)) for name, value in orjson.loads(text).items()]
    else:
        lines = text.decode("latin-1").splitlines()
        split = [line.lstrip("<> ").partition(":") for line in lines]
        pairs = [(name, value) for name, colon, value in split if colon and " " not in name]
    if not pairs:
        raise ValueError("there is no line such as: webhook-id: 61f0a446c97efa37d483102f")
    return {name.strip().lower(): value.strip() for name, value in pairs}


def verify(  # noqa: PLR0911 - one answer a reason
    verifier: Verifier,
    *,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    tolerance: float = TOLERANCE_SECONDS,
) -> Verification:
    """Check one request at *now* (Unix seconds); *headers* in lower case; *tolerance* 0: any time."""
    missing = [name for name in HEADERS if not headers.get(name)]
    if missing:
        return _no("header_missing", f"without {' and '.join(missing)}")
    id_, timestamp, signatures = (headers[name] for name in HEADERS)
    if not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > MAX_DIGITS:
        return _no("timestamp", f"webhook-timestamp {timestamp!r} is not a number of seconds")
    parts = [part.partition(",") for part in signatures.split()]
    ours = [_decoded(value) for version, _, value in parts if version == verifier.version]
    if not ours:
        return _no("version", _other_versions([version for version, _, _ in parts], verifier))
    prefix = f"{id_}.{timestamp}.".encode()
    if not _any_fits(verifier, ours, prefix + body):
        return _why_not(verifier, ours, prefix, body)
    age = now - int(timestamp)
    if tolerance and age > tolerance:
        return _no("too_old", f"signed {age:.0f} s ago; more than {tolerance:.0f} s is too old")
    if tolerance and -age > tolerance:
        return _no("ahead", f"signed {-age:.0f} s in the future: check the receiver's clock")
    return Verification(valid=True, reason="ok", message="valid")


def _no(reason: str, message: str) -> Verification:
    return Verification(valid=False, reason=reason, message=message)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # binascii's, and that of characters beyond ASCII
        return b""


def _any_fits(verifier: Verifier, signatures: Sequence[bytes], content: bytes) -> bool:
    return any(verifier.fits(signature, content) for signature in signatures)


def _other_versions(versions: Sequence[str], verifier: Verifier) -> str:
    held = "a shared secret (v1)" if verifier.version == "v1" else "a public key (v1a)"
    return f"signed with {' '.join(sorted(set(versions)))}, and {held} was given to check it"


def _why_not(
    verifier: Verifier, signatures: Sequence[bytes], prefix: bytes, body: bytes
) -> Verification:
    for changed, how in _forms(body):
        if changed != body and _any_fits(verifier, signatures, prefix + changed):
            return _no("body_changed", f"the body was changed: {how}; check the bytes as received")
    return _no(
        "no_match",
        "no signature fits: another secret, a changed body, or the id or time of another request",
    )


def _forms(body: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield what the body may have been, and what was done to it since."""
    yield body.rstrip(b"\r\n"), "a line end was added"
    yield body + b"\n", "a line end was removed"
    yield body.replace(b"\r\n", b"\n"), "line ends became CR LF"
    yield body.strip(), "white space was added"
    yield body.removeprefix(b"\xef\xbb\xbf"), "a byte order mark was added"
    anew = "the JSON was read and serialised anew"
    try:
        value = orjson.loads(body)
        yield orjson.dumps(value), anew
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # no JSON, or nested too deeply
        return
    yield json.dumps(value, separators=(",", ":")).encode(), anew
    yield json.dumps(value).encode(), anew
