"""Attempts as they are kept; what doesn't matter has a default."""

import os
from datetime import datetime

from services.kernel.about import About
from services.kernel.event import Partition
from services.kernel.ids import new_id
from services.kernel.ports.history import Written
from services.kernel.recorded import Recorded
from tests.support.rows import NOW, PROJECT

SUBSCRIPTION = "5e208446c97efa37d4830b0c"
LOG = Partition("webhooks.attempts", 0)


def a_recorded(n: int = 0, *, at: datetime = NOW, **fields: object) -> Recorded:
    """Return an attempt that was acknowledged, *n* milliseconds after *at*."""
    seconds = at.timestamp() + n / 1000
    about = fields.pop("about", About("plan.created"))
    assert isinstance(about, About)
    return Recorded(
        **{
            **about._asdict(),
            "id": new_id(now=seconds, entropy=os.urandom),
            "event_id": f"{n:024x}",
            "subscription_id": SUBSCRIPTION,
            "project_id": PROJECT,
            "topic": "planner.events",
            "partition": 0,
            "offset": n,
            "key": None,
            "number": 1,
            "trigger": "live",
            "replay": None,
            "produced_ms": int(seconds * 1000) - 30,
            "size": 100,
            "started_at": seconds,
            "waited": 0.0005,
            "connect": None,
            "tls": None,
            "first_byte": 0.02,
            "seconds": 0.025,
            "address": "127.0.0.1:9000",
            "outcome": "ok",
            "status": 200,
            "headers": (),
            "excerpt": "",
            "error": None,
            "verdict": "acknowledged",
            "reason": None,
            "next_at": None,
            "traceparent": None,
            **fields,
        }
    )


def a_record(*attempts: Recorded, run: str = "0000000001", number: int = 0) -> Written:
    return Written(run, number, attempts)
