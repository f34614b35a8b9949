"""What a process says of its requests: a line for each that failed, and for a share of the others."""

from collections.abc import Callable

import structlog

from services.kernel.attempt import (
    Acknowledged,
    Attempt,
    Dead,
    Disable,
    Outcome,
    RetryAt,
    Superseded,
    Verdict,
)
from services.kernel.delivery import Delivery
from services.kernel.ports.history import AttemptLog

log = structlog.get_logger()


class SaidAttempts:
    """An `AttemptLog` that says what it is given before *kept* gets it.

    *share*: of the requests that succeed, 0 to 1: so many have a line as well. A batch is one request.
    """

    def __init__(self, kept: AttemptLog, *, share: float, chance: Callable[[], float]) -> None:
        self._kept = kept
        self._share = share
        self._chance = chance

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        """Say and keep an attempt, and what follows from it."""
        if attempt.outcome is not Outcome.OK:
            log.info("attempt_failed", **_line(delivery, attempt, verdict))
        elif self._share and self._chance() < self._share:
            log.info("attempt_ok", **_line(delivery, attempt, verdict))
        self._kept.add(delivery, attempt, verdict)


def _line(delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> dict[str, object]:
    """Return what is said: never a body, a header, an address's path or query."""
    partition, offset = delivery.position
    said: dict[str, object] = {
        "subscription_id": delivery.subscription_id,
        "event_id": delivery.event_id,
        "type": delivery.type,
        "partition": str(partition),
        "offset": offset,
        "number": delivery.number,
        "trigger": delivery.trigger.value,
        "outcome": attempt.outcome.value,
        "status": attempt.status,
        "error": attempt.error,
        "address": attempt.address,
        "seconds": round(attempt.seconds, 4),
        "queued_seconds": round(attempt.waited, 4),
        **_follows(verdict),
    }
    if delivery.is_batch:
        said["events"] = len(delivery.parts)
    if attempt.traceparent is not None:
        said["trace_id"] = attempt.traceparent.split("-")[1]
    return said


def _follows(verdict: Verdict | None) -> dict[str, object]:
    match verdict:
        case Acknowledged():
            return {"verdict": "acknowledged"}
        case RetryAt(due_at):
            return {"verdict": "retry", "next_attempt_at": due_at.isoformat()}
        case Superseded():
            return {"verdict": "superseded"}
        case Dead(reason):
            return {"verdict": "dead", "reason": reason}
        case Disable(reason):
            return {"verdict": "disable", "reason": reason}
        case None:  # it was late: somebody else owns the partition, or the subscription is gone
            return {"verdict": None}
