"""What a receiver says in `Retry-After`, and what is made of it."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.deliver.send import SigningSender
from services.kernel.attempt import Outcome
from services.kernel.delivery import Delivery
from services.kernel.ids import SubscriptionId
from services.kernel.ports.network import Answer
from services.kernel.subscription import ClientCertificate
from tests.support.factories import a_subscription, an_event

NOW = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


class Stopped:
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW

    def time(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Answering:
    """A receiver that always gives the same answer."""

    def __init__(self, *headers: tuple[str, str]) -> None:
        self._headers = headers

    async def request(
        self,
        method: str,  # noqa: ARG002
        url: str,  # noqa: ARG002
        *,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        timeout_seconds: float,  # noqa: ARG002
        body_seconds: float = 0.0,  # noqa: ARG002
        certificate: ClientCertificate | None = None,  # noqa: ARG002
    ) -> Answer:
        return Answer(Outcome.HTTP, 503, self._headers, b"", None, None)


async def told(text: str, name: str = "Retry-After") -> float | None:
    """Return the seconds that an answer with this header holds the subscription."""
    sender = SigningSender(
        client=Answering(("Server", "x"), (name, text)),
        clock=Stopped(),
        user_agent="test",
        randbytes=lambda size: b"r" * size,
    )
    event, subscription = an_event(), a_subscription("*")
    delivery = Delivery(
        position=event.position,
        epoch=1,
        subscription_id=SubscriptionId(subscription.id),
        event_id=event.id,
        type=event.type,
        body=b"{}",
        content_type="application/json",
        key=None,
        project_id=event.project_id,
        timestamp_ms=0,
    )
    return (await sender.deliver(delivery, subscription)).retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 400, 3600.0),
        ("Mon, 05 Jan 2026 08:01:30 GMT", 90.0),
        ("Mon, 05 Jan 2026 09:01:30 +0100", 90.0),
        ("Mon, 05 Jan 2026 08:01:30", 90.0),
        ("Mon, 05 Jan 2026 07:59:00 GMT", 0.0),
        ("Tue, 06 Jan 2026 08:00:00 GMT", 3600.0),
    ],
)
async def test_it_is_obeyed_in_seconds_or_as_a_date_up_to_an_hour(
    text: str, seconds: float
) -> None:
    assert await told(text) == seconds


async def test_the_headers_name_may_be_written_in_any_case() -> None:
    assert await told("120", name="retry-AFTER") == 120.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "-5",
        "1.5",
        "１２",  # noqa: RUF001 - digits of another script
        "Mon, 05 Jan 99999 08:00:00 GMT",
        "Mon, 05 Jan 2026 08:00:00 +9999",
        "Mon, 05 Jan 2026 08:00:00 +999999999999999999",
        f"Mon, {'9' * 5_000} Jan 2026 08:00:00 GMT",
    ],
)
async def test_what_is_neither_is_as_good_as_none(text: str) -> None:
    assert await told(text) is None


@given(st.text("Mon, 0159JanFeb2024:GMT+-. ", max_size=40) | st.text(max_size=20))
async def test_no_text_of_a_receiver_stops_the_worker(text: str) -> None:
    seconds = await told(text)
    assert seconds is None or 0.0 <= seconds <= 3600.0
