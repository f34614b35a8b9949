"""A client certificate is taken or refused when it is written, with every reason at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from services.deliver.certificates import CERTIFICATE, KEY, read
from services.kernel.subscription import ClientCertificate
from tests.support.certificates import Authority

NOW = datetime(2026, 3, 17, 9, 40, 51, tzinfo=UTC)
DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def written(
    key: Key,
    *,
    subject: str = "hooks.example.com",
    begins: datetime = NOW - DAY,
    ends: datetime = NOW + DAY,
    usage: x509.ObjectIdentifier | None = None,
) -> str:
    """Return a certificate that *key* signed for itself, PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def pem(key: Key, *, passphrase: bytes | None = None) -> str:
    sealed = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, sealed).decode()


def elliptic() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


PAIR = (written(KEPT := elliptic()), pem(KEPT))


def said(certificate: str, key: str) -> set[tuple[str | None, str]]:
    """Return where each fault is, and its code."""
    found = read(certificate, key, now=NOW)
    assert (found.certificate is None) is bool(found.faults)
    return {(fault.pointer, fault.code) for fault in found.faults}


@pytest.mark.parametrize("make", [elliptic, lambda: rsa.generate_private_key(65_537, 2_048)])
def test_a_pair_that_fits_is_taken_and_says_whose_it_is_and_until_when(
    make: Callable[[], Key],
) -> None:
    key = make()
    found = read(written(key), pem(key), now=NOW)
    assert found.faults == ()
    assert found.certificate is not None
    assert found.certificate.subject == "CN=hooks.example.com"
    assert found.certificate.not_after == (NOW + DAY).timestamp()
    assert len(found.certificate.sha256) == 64
    assert found.certificate.key.startswith("-----BEGIN PRIVATE KEY-----")
    again = read(found.certificate.certificate, found.certificate.key, now=NOW)
    assert again.certificate == found.certificate, "written again it is the same"


def test_a_chain_is_kept_ours_first(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.pair("ours.example")
    found = read(certificate + authority.file.read_text(), key, now=datetime.now(UTC))
    assert found.certificate is not None
    assert found.certificate.certificate == certificate + authority.file.read_text()
    assert found.certificate.subject == "CN=ours.example"


def test_every_fault_is_told_at_once_and_at_its_place() -> None:
    assert said("none", "none either") == {(CERTIFICATE, "pem"), (KEY, "pem")}
    key = elliptic()
    ended = written(key, ends=NOW, begins=NOW - DAY, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    assert said(ended, pem(elliptic())) == {
        (CERTIFICATE, "expired"), (CERTIFICATE, "usage"), (KEY, "mismatch"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("certificate", "key", "fault"),
    [
        (lambda key: written(key, begins=NOW + DAY / 2), pem, (CERTIFICATE, "not_yet_valid")),
        (pem, written, (CERTIFICATE, "pem")),
        (written, lambda key: pem(key, passphrase=b"open sesame"), (KEY, "passphrase")),
        (lambda key: written(key) * 11, pem, (CERTIFICATE, "limit")),
    ],
    ids=["too early", "the wrong way round", "a passphrase", "too many"],
)
def test_what_can_not_be_shown_is_refused(
    certificate: Callable[[Key], str], key: Callable[[Key], str], fault: tuple[str, str]
) -> None:
    made = elliptic()
    assert fault in said(certificate(made), key(made))


@pytest.mark.parametrize(
    "usage", [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
)
def test_a_certificate_for_clients_is_taken(usage: x509.ObjectIdentifier) -> None:
    key = elliptic()
    assert said(written(key, usage=usage), pem(key)) == set()


def test_what_tls_takes_no_more_is_refused_when_it_is_written() -> None:
    weak = rsa.generate_private_key(65_537, 1_024)  # noqa: S505 - that is the claim
    assert said(written(weak), pem(weak)) == {(CERTIFICATE, "refused")}


@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 800))
def test_whatever_is_written_is_an_answer(noise: str, other: str, at: int) -> None:
    certificate, private = PAIR
    for text in (noise, certificate[:at] + noise + certificate[at:]):
        for second in (other, private[:at] + other + private[at:]):
            read(text, second, now=NOW)


def test_its_key_is_in_no_log() -> None:
    key = elliptic()
    found = read(written(key), pem(key), now=NOW).certificate
    assert isinstance(found, ClientCertificate)
    shown = f"{found!r} {found}"
    assert "CN=hooks.example.com" in shown
    assert found.key.splitlines()[1] not in shown
