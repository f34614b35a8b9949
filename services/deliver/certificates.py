"""A subscription's client certificate as it is written: read, and every reason why it is of no use.

Blocks for some ms, 100 for a large RSA key: call it in a thread.
"""

import ssl
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from services.deliver.tls import show
from services.kernel.clock import rfc3339
from services.kernel.errors import Fault
from services.kernel.subscription import ClientCertificate

MAX_CHARS = 32_768
"""Of either text: a chain of ten with large RSA keys."""
MAX_CERTIFICATES = 10
CERTIFICATE, KEY = "/certificate", "/key"


class Found(NamedTuple):
    """A certificate, or what is wrong with it, at pointers within the pair."""

    certificate: ClientCertificate | None
    faults: Sequence[Fault]


def read(certificate: str, key: str, *, now: datetime) -> Found:
    """Return what two texts in PEM make together, or all that is wrong with them."""
    chain, faults = _chain(certificate, now)
    private, wrong = _private(key)
    faults += wrong
    if chain and private is not None and not _fits(chain[0], private):
        faults.append(Fault("mismatch", "the key is not that of the certificate", KEY))
    if faults or private is None:
        return Found(None, faults)
    texts = (
        "".join(each.public_bytes(Encoding.PEM).decode() for each in chain),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )
    try:
        show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), *texts)
    except ssl.SSLError as error:  # a key or a hash that is too weak by today's rules
        reason = (error.reason or "it can't be used").replace("_", " ").lower()
        return Found(None, [Fault("refused", f"TLS refuses it: {reason}", CERTIFICATE)])
    ours = chain[0]
    found = ClientCertificate(
        *texts,
        subject=ours.subject.rfc4514_string(),
        not_after=ours.not_valid_after_utc.timestamp(),
        sha256=ours.fingerprint(hashes.SHA256()).hex(),
    )
    return Found(found, ())


def _chain(text: str, now: datetime) -> tuple[list[x509.Certificate], list[Fault]]:
    try:
        chain = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        message = "no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----"
        return [], [Fault("pem", message, CERTIFICATE)]
    if len(chain) > MAX_CERTIFICATES:
        message = f"{len(chain)} certificates, {MAX_CERTIFICATES} are allowed"
        return chain, [Fault("limit", message, CERTIFICATE)]
    ours, faults = chain[0], []
    if ours.not_valid_after_utc <= now:
        message = f"it expired on {rfc3339(ours.not_valid_after_utc)}"
        faults.append(Fault("expired", message, CERTIFICATE))
    if ours.not_valid_before_utc > now:
        message = f"it is not valid before {rfc3339(ours.not_valid_before_utc)}"
        faults.append(Fault("not_yet_valid", message, CERTIFICATE))
    if not _is_for_clients(ours):
        message = "it is not for clients: its extended key usage lacks clientAuth"
        faults.append(Fault("usage", message, CERTIFICATE))
    return chain, faults


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:  # then it is for anything
        return True
    except ValueError:  # extensions that can't be read; TLS has the last word
        return True
    wanted = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    return any(each in usage for each in wanted)


def _private(text: str) -> tuple[PrivateKeyTypes | None, list[Fault]]:
    try:
        return load_pem_private_key(text.encode(), password=None), []
    except TypeError:
        message = "the key has a passphrase: write it without; it is encrypted where it is kept"
        return None, [Fault("passphrase", message, KEY)]
    except (ValueError, UnsupportedAlgorithm):
        message = "no private key in PEM: it begins with -----BEGIN PRIVATE KEY-----"
        return None, [Fault("pem", message, KEY)]


def _fits(certificate: x509.Certificate, private: PrivateKeyTypes) -> bool:
    try:
        return _bytes(certificate.public_key()) == _bytes(private.public_key())
    except (ValueError, UnsupportedAlgorithm):  # of a kind that nobody uses in TLS
        return False


def _bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
