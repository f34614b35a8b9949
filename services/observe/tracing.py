"""Spans for a collector (OTLP): made when what they tell of is over, from what is known of it anyway.

    producer's span ──▶ match ──▶ queue
                              └─▶ request ──▶ the receiver's span

A trace is followed where its producer asked for that (the flag `sampled` of its `traceparent`), and for
a share of the events that come without one. Retries, replays and lanes go on with the trace of their
event. A batch is sent from a thread of its own; while the collector is away, spans are dropped.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Event, Position
from services.kernel.subscription import Subscription
from services.observe import metrics
from services.version import VERSION

EXPORT_SECONDS = 3.0
"""Of one request to the collector: a role that ends waits so long for the last one."""
TRACE_BITS, SPAN_BITS = 128, 64
SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class _Link(NamedTuple):
    """What a `traceparent` says."""

    trace: int
    span: int


def batches(endpoint: str) -> SpanProcessor:
    """Return what sends spans to *endpoint*, in batches; headers by `OTEL_EXPORTER_OTLP_HEADERS`."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS))


def described(instance: str) -> Resource:
    """Return who makes the spans, with what `OTEL_RESOURCE_ATTRIBUTES` adds. Blocks for a moment."""
    return Resource.create(
        {
            "service.name": "planner-webhooks",
            "service.version": VERSION,
            "service.instance.id": instance,
        }
    )


class SpanTracer:
    """The `Tracer` of a worker."""

    def __init__(
        self,
        *,
        processor: SpanProcessor,
        resource: Resource,
        share: float,
        chance: Callable[[], float],
        randbits: Callable[[int], int],
    ) -> None:
        """Follow *share* (0 to 1) of the events that come without a trace."""
        self._processor = processor
        self._resource = resource
        self._share = share
        self._chance = chance
        self._randbits = randbits

    def close(self) -> None:
        """Send what is left. Blocks, for EXPORT_SECONDS or so."""
        self._processor.shutdown()

    def matched(self, event: Event, *, began: float, ended: float, due: int) -> str | None:
        """Make the span of a match; return the `traceparent` of its deliveries."""
        parent = _followed(event.traceparent)
        if parent is None and (event.traceparent is not None or self._chance() >= self._share):
            return event.traceparent
        trace = parent.trace if parent else self._randbits(TRACE_BITS)
        span = self._randbits(SPAN_BITS)
        self._end(
            "match",
            _Link(trace, span),
            parent,
            (began, ended),
            {
                **_position(event.position),
                "webhooks.event.id": event.id,
                "webhooks.event.type": event.type,
                "webhooks.project.id": event.project_id,
                "webhooks.due": due,
            },
            kind=SpanKind.CONSUMER,
        )
        return f"00-{trace:032x}-{span:016x}-01"

    def attempted(self, delivery: Delivery, subscription: Subscription, attempt: Attempt) -> None:
        """Make the spans of a request and of its time in line, and note its trace as an example."""
        parent, sent = _followed(delivery.traceparent), _followed(attempt.traceparent)
        if parent is None or sent is None:
            return
        start, end = attempt.started_at, attempt.started_at + attempt.seconds
        about: dict[str, AttributeValue] = {
            **_position(delivery.position),
            "webhooks.event.id": delivery.event_id,
            "webhooks.event.type": delivery.type,
            "webhooks.subscription.id": delivery.subscription_id,
            "webhooks.trigger": delivery.trigger.value,
            "webhooks.attempt": delivery.number,
        }
        queue = _Link(sent.trace, self._randbits(SPAN_BITS))
        self._end("queue", queue, parent, (start - attempt.waited, start), about)
        self._end(
            "request",
            sent,
            parent,
            (start, end),
            {**about, **_exchange(subscription, attempt)},
            kind=SpanKind.CLIENT,
            status=Status(StatusCode.UNSET)
            if attempt.outcome is Outcome.OK
            else Status(StatusCode.ERROR, attempt.outcome.value),
        )
        metrics.exemplify(delivery, attempt, trace=f"{sent.trace:032x}")

    def _end(
        self,
        name: str,
        own: _Link,
        parent: _Link | None,
        times: tuple[float, float],
        attributes: Mapping[str, AttributeValue],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = Status(StatusCode.UNSET),  # noqa: B008 - it doesn't change
    ) -> None:
        began, ended = times
        self._processor.on_end(
            ReadableSpan(
                name,
                context=SpanContext(own.trace, own.span, is_remote=False, trace_flags=SAMPLED),
                parent=parent and SpanContext(parent.trace, parent.span, is_remote=True),
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                status=status,
                start_time=int(began * 1e9),
                end_time=int(max(began, ended) * 1e9),
            )
        )


def _followed(traceparent: str | None) -> _Link | None:
    """Return where a trace stands that is to be followed; None: nobody asked for it."""
    if traceparent is None:
        return None
    _, trace, span, flags = traceparent.split("-")
    return _Link(int(trace, 16), int(span, 16)) if int(flags, 16) & TraceFlags.SAMPLED else None


def _position(position: Position) -> dict[str, AttributeValue]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": position.partition.topic,
        "messaging.destination.partition.id": str(position.partition.number),
        "messaging.kafka.offset": position.offset,
    }


def _exchange(subscription: Subscription, attempt: Attempt) -> dict[str, AttributeValue]:
    """Return what is known of a request: a host, never a path or a query, which may hold secrets."""
    url = urlsplit(subscription.url)
    times = {"connect": attempt.connect, "tls": attempt.tls, "first_byte": attempt.first_byte}
    found: dict[str, AttributeValue] = {
        f"webhooks.{name}_ms": seconds * 1000
        for name, seconds in times.items()
        if seconds is not None
    }
    if attempt.status is not None:
        found["http.response.status_code"] = attempt.status
    return {
        **found,
        "http.request.method": "POST",
        "url.scheme": url.scheme,
        "server.address": url.hostname or "",
        "webhooks.outcome": attempt.outcome.value,
    }
