"""`client_certificate` of a subscription: checked, shown without its key, and told of before it ends."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from services.control.checks import Checker
from services.deliver import certificates
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import Fault
from services.kernel.event import Json
from services.kernel.registration import Registration
from services.kernel.subscription import ClientCertificate

FIELD = "client_certificate"
SOON = timedelta(days=30)
"""Before it ends its owner is warned for so long."""


async def checked(check: Checker, *, clock: Clock) -> ClientCertificate | None:
    """Return what a body asks for, None where for none; faults are left in *check*."""
    written = check.body[FIELD]
    if written is None:
        return None
    inner = Checker(
        check.title, written, known=("certificate", "key"), pointer=f"{check.pointer}/{FIELD}"
    )
    texts = [
        inner.text(name, required=isinstance(written, dict), longest=certificates.MAX_CHARS)
        for name in ("certificate", "key")
    ]
    check.faults += inner.faults
    certificate, key = texts
    if inner.faults or certificate is None or key is None:
        return None
    found = await asyncio.to_thread(certificates.read, certificate, key, now=clock.now())
    check.faults += [
        fault._replace(pointer=f"{inner.pointer}{fault.pointer}") for fault in found.faults
    ]
    return found.certificate


def shown(certificate: ClientCertificate | None) -> Json | None:
    """Return what may be known of it: everything but the key, and enough of it to tell which it is."""
    if certificate is None:
        return None
    return {
        "subject": certificate.subject,
        "not_after": rfc3339(_end(certificate)),
        "sha256": certificate.sha256,
    }


def kept(body: Any, before: ClientCertificate | None) -> Any:  # noqa: ANN401 - JSON
    """Return *body* without the certificate where it says what is shown: it stays."""
    if isinstance(body, dict) and before is not None and body.get(FIELD) == shown(before):
        return {name: value for name, value in body.items() if name != FIELD}
    return body


def unused(url: str, certificate: ClientCertificate | None, check: Checker) -> list[Fault]:
    """Return the fault of a body after which no request to *url* would show the certificate."""
    field = FIELD if FIELD in check.body else "url"
    if certificate is None or not url.startswith("http:") or field not in check.body:
        return []
    message = "a certificate is shown to https:// URLs alone"
    return [Fault("scheme", message, f"{check.pointer}/{field}")]


def warnings(registration: Registration, *, now: datetime) -> list[Fault]:
    """Return that it ends soon, or has ended: requests fail from then on."""
    certificate = registration.client_certificate
    if certificate is None or _end(certificate) - now > SOON:
        return []
    verb = "ends" if _end(certificate) > now else "ended"
    message = f"the certificate {verb} on {rfc3339(_end(certificate))}: write a new one"
    return [Fault("certificate_ends", message, f"/{FIELD}")]


def _end(certificate: ClientCertificate) -> datetime:
    return datetime.fromtimestamp(certificate.not_after, tz=UTC)
