"""Of each request that failed the log has a line that says what a person asks at night, and no secret."""

from collections.abc import Mapping

import orjson
from structlog.testing import capture_logs

from services.kernel.attempt import Acknowledged, Attempt, Dead, Disable, Outcome, RetryAt, Verdict
from services.kernel.delivery import Delivery, Member
from services.kernel.ids import SubscriptionId
from services.observe.attempts import SaidAttempts
from tests.support.rows import a_delivery, after, an_attempt

SUBSCRIPTION = SubscriptionId("5e208446c97efa37d4830b0c")
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Kept:
    """The log of attempts behind."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Delivery, Attempt, Verdict | None]] = []

    def add(self, delivery: Delivery, attempt: Attempt, verdict: Verdict | None) -> None:
        self.attempts.append((delivery, attempt, verdict))


def said(
    *attempts: tuple[Attempt, Verdict | None],
    share: float = 0.0,
    chance: float = 0.5,
    **fields: object,
) -> list[Mapping[str, object]]:
    """Return the lines of *attempts*, all of which are kept as well."""
    kept = Kept()
    delivery = a_delivery(SUBSCRIPTION, offset=7, **fields)
    told = SaidAttempts(kept, share=share, chance=lambda: chance)
    with capture_logs() as lines:
        for attempt, verdict in attempts:
            told.add(delivery, attempt, verdict)
    assert kept.attempts == [(delivery, *each) for each in attempts]
    return lines


def test_a_request_that_failed_is_one_line_that_says_whose_how_and_what_follows() -> None:
    attempt = an_attempt(
        Outcome.HTTP, status=503, seconds=0.25, waited=1.5, address="93.184.216.34:443",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01", excerpt=b"secret", headers=(("a", "secret"),),
    )  # fmt: skip
    (line,) = said((attempt, RetryAt(after(300))), number=2)
    assert line == {
        "event": "attempt_failed", "log_level": "info",
        "subscription_id": SUBSCRIPTION, "event_id": "event-7", "type": "plan.created",
        "partition": "planner.events/0", "offset": 7, "number": 2, "trigger": "live",
        "outcome": "http", "status": 503, "error": None, "address": "93.184.216.34:443",
        "seconds": 0.25, "queued_seconds": 1.5,
        "verdict": "retry", "next_attempt_at": after(300).isoformat(), "trace_id": TRACE,
    }  # fmt: skip
    assert b"secret" not in orjson.dumps(line)


def test_what_follows_is_said_of_every_verdict() -> None:
    verdicts = [Dead("exhausted"), Disable("gone"), None]
    lines = said(*((an_attempt(), verdict) for verdict in verdicts))
    assert [(line["verdict"], line.get("reason")) for line in lines] == [
        ("dead", "exhausted"), ("disable", "gone"), (None, None),
    ]  # fmt: skip


def test_a_batch_is_one_line_with_its_number_of_events() -> None:
    members = tuple(Member(n, 10) for n in range(7, 10))
    (line,) = said((an_attempt(), RetryAt(after(5))), body=b"[1,2,3]", members=members)
    assert line["events"] == 3


def test_of_those_that_succeed_a_share_is_said() -> None:
    well = an_attempt(Outcome.OK, status=200), Acknowledged()
    assert said(well) == []
    assert said(well, share=0.1, chance=0.2) == []
    (line,) = said(well, share=0.1, chance=0.05)
    assert (line["event"], line["verdict"]) == ("attempt_ok", "acknowledged")
