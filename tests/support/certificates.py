"""Certificates for servers of a test: signed by an authority of the test's own."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates for 127.0.0.1 unless told otherwise."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        made = self._certificate(
            self._key, self._name, x509.BasicConstraints(ca=True, path_length=0)
        )
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def pem(self, subject: str = "127.0.0.1", *, expired: bool = False) -> Path:
        """Return the file of a fresh certificate for *subject*, with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        alternative = (
            x509.IPAddress(IPv4Address(subject)) if subject[0].isdigit() else x509.DNSName(subject)
        )
        made = self._certificate(
            key, name, x509.SubjectAlternativeName([alternative]), expired=expired
        )
        file = self._folder / f"{made.serial_number}.pem"
        pem = serialization.Encoding.PEM
        file.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + made.public_bytes(pem)
        )
        return file

    def pair(self, subject: str, *, expired: bool = False) -> tuple[str, str]:
        """Return a fresh certificate for *subject* and its key, PEM."""
        text = self.pem(subject, expired=expired).read_text()
        at = text.index("-----BEGIN CERTIFICATE")
        return text[at:], text[:at]

    def asking(self, *, insisting: bool = True) -> ssl.SSLContext:
        """Return the context of a server that asks for a certificate of ours."""
        context = self.server()
        context.verify_mode = ssl.CERT_REQUIRED if insisting else ssl.CERT_OPTIONAL
        context.load_verify_locations(self.file)
        return context

    def server(self, subject: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """Return the context of a server with a fresh certificate for *subject*."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem(subject, expired=expired))
        return context

    def _certificate(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        extension: x509.ExtensionType,
        *,
        expired: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        ends = now - timedelta(days=1) if expired else now + timedelta(days=1)
        issuer = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(ends)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
