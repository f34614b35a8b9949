"""The test bench: what is sent, and what an answer to it says of a receiver."""

import re
from typing import Any

import orjson
import pytest

from services.control.bench import RULES, SLOW_SECONDS, Made, Misbehaviour, judge, requests_of
from services.kernel.attempt import Attempt, Outcome
from services.kernel.ports.network import Manner
from tests.support import openapi

SCHEMA: Any = orjson.loads(openapi.committed())["components"]["schemas"]["TestCall"]


def answered(status: int, *, first_byte: float = 9.0) -> Attempt:
    outcome = Outcome.OK if 200 <= status < 300 else Outcome.HTTP
    return Attempt(
        outcome=outcome, started_at=0.0, seconds=9.0, status=status, first_byte=first_byte
    )


def ended(outcome: Outcome) -> Attempt:
    return Attempt(outcome=outcome, started_at=0.0, seconds=9.0, error="it ended so")


OK, REFUSED, BROKEN = answered(200), answered(401), answered(500)
GONE = ended(Outcome.TIMEOUT)


def test_the_document_names_each_misbehaviour_and_says_what_it_is() -> None:
    documented = SCHEMA["properties"]["misbehave"]
    assert documented["enum"] == [*Misbehaviour, None]
    assert re.findall(r"`(\w+)` \(", documented["description"])[: len(RULES) - 1]
    assert all(f"`{each}`" in documented["description"] for each in Misbehaviour)
    assert list(RULES) == list(Misbehaviour)


@pytest.mark.parametrize(
    ("misbehaviour", "attempts", "correct"),
    [
        ("twice", [OK, OK], True),
        ("twice", [OK, answered(409)], False),
        ("twice", [BROKEN, OK], False),
        ("out_of_order", [OK, OK], True),
        ("out_of_order", [OK, BROKEN], False),
        ("late", [OK], True),
        ("late", [REFUSED], False),
        ("slow", [OK], True),
        ("slow", [answered(200, first_byte=0.1)], False),
        ("slow", [answered(408)], False),
        ("slow", [GONE], False),
        ("old_signature", [OK, REFUSED], True),
        ("old_signature", [OK, OK], False),
        ("old_signature", [OK, BROKEN], False),
        ("old_signature", [OK, GONE], False),
        ("old_signature", [REFUSED, REFUSED], False),
        ("large", [OK], True),
        ("large", [answered(413)], True),
        ("large", [BROKEN], False),
        ("large", [ended(Outcome.RESET)], False),
    ],
)
def test_a_receiver_is_judged_by_its_answers(
    misbehaviour: str, attempts: list[Attempt], *, correct: bool
) -> None:
    asked = Misbehaviour(misbehaviour)
    found = judge(asked, requests_of(asked, 15), attempts)
    assert found.correct is correct, found.found


@pytest.mark.parametrize("outcome", [Outcome.DNS, Outcome.CONNECT, Outcome.TLS, Outcome.BLOCKED])
@pytest.mark.parametrize("misbehaviour", Misbehaviour)
def test_where_nobody_is_reached_nothing_is_said_of_the_receiver(
    misbehaviour: Misbehaviour, outcome: Outcome
) -> None:
    plan = requests_of(misbehaviour, 15)
    assert judge(misbehaviour, plan, [ended(outcome)] * len(plan)).correct is None


def test_a_slow_body_leaves_half_of_the_time_limit_to_the_receiver() -> None:
    assert requests_of(Misbehaviour.SLOW, 1) == [Made(manner=Manner(body_seconds=0.5))]
    assert requests_of(Misbehaviour.SLOW, 30) == [Made(manner=Manner(body_seconds=SLOW_SECONDS))]


def test_without_a_misbehaviour_one_request_is_made_well() -> None:
    assert list(requests_of(None, 15)) == [Made()]
