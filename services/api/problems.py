"""What went wrong, as `application/problem+json` (RFC 9457): all faults at once, each with its place."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.api.encode import encoded
from services.control.access import ForbiddenError, UnauthorizedError
from services.control.geofences import InUseError
from services.control.rates import TooManyRequestsError
from services.control.subscriptions import StaleError
from services.kernel.errors import (
    BrokerGoneError,
    BrokerRefusedError,
    ConflictError,
    Fault,
    FaultsError,
    NotFoundError,
    StoreGoneError,
)

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 2


class Problem(NamedTuple):
    """A refused request."""

    status: int
    slug: str
    title: str
    detail: str
    faults: tuple[Fault, ...] = ()
    headers: Mapping[str, str] = {}
    extra: Mapping[str, Any] = {}
    """Members of its own that a problem has (RFC 9457, 3.2)."""

    def body(self) -> bytes:
        """Return the document."""
        found: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.faults:
            found["errors"] = [shown_fault(fault) for fault in self.faults]
        found.update(self.extra)
        return encoded(found)


def of_error(error: Exception) -> Problem | None:  # noqa: C901, PLR0911 - a table
    """Return what to answer for *error*; None for what is a bug of ours."""
    match error:
        case FaultsError():
            count = len(error.faults)
            detail = f"{count} fault" + ("s" if count != 1 else "")
            return Problem(422, "invalid", error.title, detail, error.faults)
        case UnauthorizedError():
            challenge = {"WWW-Authenticate": 'Bearer realm="webhooks"'}
            return Problem(401, "unauthorized", "No valid key", str(error), headers=challenge)
        case ForbiddenError():
            return Problem(403, "forbidden", "Not allowed", str(error))
        case NotFoundError():
            return Problem(404, "not-found", "Not found", str(error))
        case TooManyRequestsError():
            wait = {"Retry-After": str(error.retry_after)}
            return Problem(429, "too-many", "Too many requests", str(error), headers=wait)
        case StaleError():
            return Problem(412, "stale", "Changed meanwhile", str(error))
        case InUseError():
            extra = {"subscriptions": list(error.subscriptions)}
            return Problem(409, "in-use", "In use", str(error), extra=extra)
        case ConflictError():
            return Problem(409, "conflict", "Conflict", str(error))
        case BrokerRefusedError():
            return Problem(413, "too-large", "Kafka does not take it", str(error))
        case StoreGoneError() | BrokerGoneError():
            what = "Postgres" if isinstance(error, StoreGoneError) else "Kafka"
            detail = f"{what} can't be reached at the moment; whether anything was done is unknown"
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return Problem(503, "unavailable", "Not available", detail, headers=retry)
        case _:
            return None


def malformed(message: str, line: int, column: int) -> Problem:
    """Return the problem of a body that isn't JSON."""
    detail = f"line {line}, column {column}: {message}"
    return Problem(400, "malformed", "The body is not JSON", detail)


def shown_fault(fault: Fault) -> dict[str, str]:
    """Return a fault, or what is odd, with its place."""
    place = (
        {"parameter": fault.parameter}
        if fault.pointer is None and fault.parameter is not None
        else {"pointer": fault.pointer or ""}
    )
    return {**place, "code": fault.code, "message": fault.message}
