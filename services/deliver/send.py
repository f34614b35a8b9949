"""Signs and sends one delivery: the headers that receivers rely on, and what came back."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import orjson

from services.deliver.signing import sign
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Trigger
from services.kernel.ids import SubscriptionId
from services.kernel.ports.network import WELL, HttpClient, Manner
from services.kernel.subscription import Subscription

MAX_RETRY_AFTER = 3600.0
MAX_PREPARED = 20_000
TRACE_BYTES, SPAN_BYTES = 16, 8


class _Prepared(NamedTuple):
    """What is the same in all requests of a subscription."""

    subscription: Subscription
    headers: Mapping[str, str]


class SigningSender:
    """The `Sender` of workers, test calls and probes."""

    def __init__(
        self,
        *,
        client: HttpClient,
        clock: Clock,
        user_agent: str,
        randbytes: Callable[[int], bytes],
    ) -> None:
        self._client = client
        self._clock = clock
        self._user_agent = user_agent
        self._randbytes = randbytes
        self._prepared: dict[SubscriptionId, _Prepared] = {}

    async def deliver(
        self,
        delivery: Delivery,
        subscription: Subscription,
        *,
        waited: float = 0.0,
        manner: Manner = WELL,
    ) -> Attempt:
        """Make one request with *subscription*'s present URL, secrets, certificate and time limit."""
        started = self._clock.time()
        began = self._clock.monotonic()
        traceparent = self._traceparent(delivery.traceparent)
        answer = await self._client.request(
            "POST",
            subscription.url,
            headers={
                **self.headers(delivery, subscription, started - manner.signed_ago),
                "traceparent": traceparent,
            },
            body=delivery.body,
            timeout_seconds=subscription.timeout_seconds,
            body_seconds=manner.body_seconds,
            certificate=subscription.client_certificate,
        )
        return Attempt(
            outcome=answer.outcome,
            started_at=started,
            seconds=self._clock.monotonic() - began,
            waited=waited,
            connect=answer.connect,
            tls=answer.tls,
            first_byte=answer.first_byte,
            status=answer.status,
            retry_after=_retry_after(answer.headers, started) if answer.headers else None,
            excerpt=answer.excerpt,
            headers=answer.headers,
            address=answer.address,
            error=answer.error,
            traceparent=traceparent,
        )

    def headers(self, delivery: Delivery, subscription: Subscription, now: float) -> dict[str, str]:
        """Return what a request made at *now* has, but for its trace."""
        timestamp = int(now)
        position = delivery.position
        headers = {
            **self._prepare(subscription),
            "Content-Type": delivery.content_type,
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(
                subscription.keys,
                id_=delivery.event_id,
                timestamp=timestamp,
                body=delivery.body,
                now=now,
            ),
            "planner-event-type": delivery.type,
            "planner-attempt": str(delivery.number),
            "planner-sequence": f"{position.partition.number}-{position.offset}",
        }
        if delivery.retry_reason is not None:
            headers["planner-retry-reason"] = delivery.retry_reason
        if delivery.is_batch:
            size = len(delivery.members) or len(orjson.loads(delivery.body))
            headers["planner-batch-size"] = str(size)
        if delivery.conflated:
            headers["planner-conflated"] = str(delivery.conflated)
        again = delivery.replay or delivery.resend
        if again is not None:
            headers["planner-replay"] = again
        if delivery.trigger is Trigger.TEST:
            headers["planner-test"] = "true"
            del headers["planner-sequence"]
        return headers

    def _prepare(self, subscription: Subscription) -> Mapping[str, str]:
        found = self._prepared.get(subscription.id)
        if found is None or found.subscription is not subscription:
            if len(self._prepared) >= MAX_PREPARED:
                self._prepared.clear()
            headers = {
                **dict(subscription.headers),
                "User-Agent": self._user_agent,
                "planner-webhook-id": subscription.id,
                "planner-project": subscription.project_id,
            }
            found = self._prepared[subscription.id] = _Prepared(subscription, headers)
        return found.headers

    def _traceparent(self, parent: str | None) -> str:
        if parent is None:
            fresh = self._randbytes(TRACE_BYTES + SPAN_BYTES).hex()
            return f"00-{fresh[:32]}-{fresh[32:]}-01"
        return f"{parent[:36]}{self._randbytes(SPAN_BYTES).hex()}{parent[52:]}"


def _retry_after(headers: tuple[tuple[str, str], ...], now: float) -> float | None:
    """Return the seconds of a `Retry-After`, given as seconds or a date, capped at an hour."""
    text = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for an offset from UTC of many digits
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - datetime.fromtimestamp(now, tz=UTC)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER)
