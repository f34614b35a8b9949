"""What a failed attempt usually means, and what to do about it; pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

REDIRECT, FAILED = 3, 5
"""Classes of a status."""
OF_SIGNATURE = (400, 401, 403)
"""What receivers answer to a signature that they find wrong."""
EXPIRED = "certificate has expired"
"""As OpenSSL says it."""
LATELY = timedelta(days=14)


def hint(attempt: Mapping[str, Any]) -> str:
    """Return what a failed attempt usually means, and what to do."""
    outcome, status = attempt["outcome"], attempt["status"]
    if outcome == "http":
        return _of_status(status)
    if outcome == "tls" and EXPIRED in (attempt.get("error") or ""):
        return "The receiver's certificate has expired. Renew it; what waits is retried by itself."
    return _HINTS.get(outcome, "")


def of_rotation(attempt: Mapping[str, Any], secrets: Sequence[Mapping[str, Any]]) -> str:
    """Return what a refused signature means where the secret was rotated before; else nothing."""
    at = datetime.fromisoformat(attempt["started_at"])
    newest = max(secrets, key=lambda secret: str(secret["created_at"]), default=None)
    if newest is None or len(secrets) == 1:
        return ""
    made = datetime.fromisoformat(newest["created_at"])
    if not timedelta() <= at - made <= LATELY:
        return ""
    old = [secret["expires_at"] for secret in secrets if secret is not newest]
    over = all(end is not None and datetime.fromisoformat(end) <= at for end in old)
    if over:
        return (
            "The secret was rotated before this, and the previous one signed nothing any more:"
            " the receiver probably still verifies with it. Give it the new one, then send this again."
        )
    return (
        "The secret was rotated before this, and both signed: the receiver should accept either of"
        " the signatures in webhook-signature, which are separated by a space."
    )


_HINTS = {
    "timeout": "No complete answer within the time limit. Answer 2xx first, and do the work afterwards.",
    "connect": "Nobody listens there, or a firewall drops us. Is it running, its port open?",
    "dns": "The name has no address. Was the domain moved, or mistyped?",
    "tls": "The certificate doesn't verify: expired, for another name, or without its chain.",
    "reset": "The connection broke before an answer. A proxy in between, or a crash, usually.",
    "blocked": "It resolves to a private or reserved address, never called unless allowed.",
}
_STATUSES = {
    400: "The receiver finds the body wrong. Does it expect another shape (profile) than it gets?",
    401: "The receiver finds the signature or its own credentials wrong. Was the secret rotated lately?",
    403: "The receiver, or a firewall in front of it, refuses us. Are our addresses allowed there?",
    404: "Nothing is at this path. Did a deployment move it?",
    405: "The path takes no POST. Is the URL complete?",
    410: "The receiver says it is gone for good, which disables the webhook.",
    413: "The body is larger than the receiver takes.",
    429: "The receiver asks for fewer requests: a rate limit here spares it.",
}


def _of_status(status: int | None) -> str:
    if status is None:
        return ""
    if status in _STATUSES:
        return _STATUSES[status]
    if status // 100 == REDIRECT:
        return "A redirect is never followed: give the address that it leads to."
    if status // 100 == FAILED:
        return "The receiver failed inside: its own log says why."
    return "Refused by the receiver: its answer may say why."
