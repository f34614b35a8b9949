"""Attempts as they are kept; what doesn't matter has a default."""

import os
from datetime import datetime

from services.kernel.about import About
from services.kernel.attempt import Outcome
from services.kernel.delivery import Trigger
from services.kernel.event import Partition, Position
from services.kernel.ids import delivery_id, new_id
from services.kernel.ports.history import Written
from services.kernel.recorded import Recorded
from tests.support.rows import NOW, PROJECT

SUBSCRIPTION = "5e208446c97efa37d4830b0c"
LOG = Partition("webhooks.attempts", 0)


def a_recorded(n: int = 0, *, at: datetime = NOW, **fields: object) -> Recorded:
    """Return an attempt that was acknowledged, *n* milliseconds after *at*."""
    seconds = at.timestamp() + n / 1000
    event_id = str(fields.pop("event_id", f"{n:024x}"))
    subscription_id = str(fields.pop("subscription_id", SUBSCRIPTION))
    return Recorded(
        **{
            "id": new_id(now=seconds, entropy=os.urandom),
            "delivery_id": delivery_id(event_id, subscription_id),
            "event_id": event_id,
            "about": About("plan.created"),
            "subscription_id": subscription_id,
            "project_id": PROJECT,
            "position": Position(Partition("planner.events", 0), n),
            "key": None,
            "number": 1,
            "trigger": Trigger.LIVE,
            "replay": None,
            "produced_ms": int(seconds * 1000) - 30,
            "size": 100,
            "started_ms": seconds * 1000,
            "queue_ms": 0.5,
            "connect_ms": None,
            "tls_ms": None,
            "first_byte_ms": 20.0,
            "total_ms": 25.0,
            "address": "127.0.0.1:9000",
            "outcome": Outcome.OK,
            "status": 200,
            "headers": (),
            "excerpt": "",
            "error": None,
            "verdict": "acknowledged",
            "reason": None,
            "next_ms": None,
            "trace_id": None,
            **fields,
        }
    )


def a_record(*attempts: Recorded, run: str = "0000000001", number: int = 0) -> Written:
    return Written(run, number, attempts)
