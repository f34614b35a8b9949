"""What became of a delivery, drawn and in words."""

import shlex
from typing import Any

import pytest

from services.dashboard import became, curl, hints, timeline, words
from services.dashboard.views.failed import _group
from services.kernel.attempt import Outcome
from services.kernel.history import DeliveryState
from services.kernel.replay import ReplayState

PHASES = {
    "queue_ms": 10.0,
    "connect_ms": 20.0,
    "tls_ms": None,
    "first_byte_ms": 60.0,
    "total_ms": 90.0,
}


def attempt(
    outcome: str = "ok", status: int | None = None, **phases: float | None
) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "status": status,
        "error": None,
        "started_at": "2026-03-17T10:00:00.000Z",
        "phases": {**PHASES, **phases},
    }


def secret(made: str, until: str | None = None) -> dict[str, Any]:
    return {"created_at": made, "expires_at": until}


def test_the_phases_of_the_longest_attempt_fill_the_line() -> None:
    fast, slow = attempt(), attempt(first_byte_ms=160.0, total_ms=190.0)
    scale = timeline.longest([fast, slow])
    assert scale == 200
    drawn = timeline.phases(slow, scale)
    assert [(phase.kind, phase.ms) for phase in drawn] == [
        ("queue", 10), ("connect", 20), ("first", 160), ("rest", 10),
    ]  # fmt: skip
    assert drawn[-1].x + drawn[-1].width == timeline.WIDTH
    assert timeline.phases(fast, scale)[-1].x < timeline.WIDTH / 2


def test_an_answer_that_never_came_was_waited_for() -> None:
    drawn = timeline.phases(attempt("timeout", first_byte_ms=None), 100)
    assert [(phase.kind, phase.ms) for phase in drawn][-1] == ("first", 70)


def test_curl_is_one_command_whatever_the_request_has_in_it() -> None:
    request = {
        "method": "POST",
        "url": "https://example.com/a?b='c'&d",
        "headers": {"webhook-id": "x", "Content-Length": "9", "authorization": "Bearer it's"},
        "body": '{"a": "it\'s $HOME `id`"}',
    }
    words_ = shlex.split(curl.command(request).replace("\\\n", " "))
    assert words_[:5] == ["curl", "-i", "-X", "POST", request["url"]]
    assert words_[5:9] == ["-H", "webhook-id: x", "-H", "authorization: Bearer it's"]
    assert words_[9:] == ["--data-binary", request["body"]]


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([secret("2026-03-01T00:00:00.000Z")], ""),
        (
            [
                secret("2026-03-01T00:00:00.000Z", "2026-03-17T09:00:00.000Z"),
                secret("2026-03-16T09:00:00.000Z"),
            ],
            "still verifies with it",
        ),
        (
            [
                secret("2026-03-01T00:00:00.000Z", "2026-03-18T09:00:00.000Z"),
                secret("2026-03-16T09:00:00.000Z"),
            ],
            "accept either",
        ),
        # Rotated after the attempt, or long before it: that is not why.
        ([secret("2026-03-01T00:00:00.000Z"), secret("2026-03-18T00:00:00.000Z")], ""),
        ([secret("2025-01-01T00:00:00.000Z"), secret("2026-01-01T00:00:00.000Z")], ""),
    ],
)
def test_a_refused_signature_after_a_rotation_is_told(
    secrets: list[dict[str, Any]], said: str
) -> None:
    found = hints.of_rotation(attempt("http", 401), secrets)
    assert (said in found) if said else found == ""


def test_an_expired_certificate_is_called_so() -> None:
    refused = {**attempt("tls"), "error": "the certificate doesn't verify: certificate has expired"}
    assert "has expired" in hints.hint(refused)
    assert "doesn't verify" in hints.hint(attempt("tls"))


def test_every_state_and_outcome_has_a_word() -> None:
    assert words.DELIVERIES.keys() == set(DeliveryState)
    assert words.OUTCOMES.keys() == set(Outcome)
    assert words.JOBS.keys() >= set(ReplayState)
    for state in DeliveryState:
        delivery = {"state": state, "number": 2, "reason": None}
        assert became.sentence(delivery).endswith(".")


def test_a_group_is_named_by_a_filter_or_not_at_all() -> None:
    cause = {"subscription_id": "s", "outcome": "http", "status": 404, "count": 3}
    assert _group(cause)["filter"] == "outcome=http&status=404&subscription=s"
    # Nothing was tried: a filter without an outcome would name all the others too.
    assert _group({**cause, "outcome": None, "status": None})["filter"] is None
