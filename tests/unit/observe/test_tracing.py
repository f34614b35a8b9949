"""Traces: from the producer's span through match, queue and request, and nothing where nobody asked."""

import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.deliver.send import SigningSender
from services.dispatch import groups
from services.dispatch.ports import Ports
from services.dispatch.traced import TracedMatcher, TracedSender
from services.kernel.attempt import Outcome
from services.kernel.clock import SystemClock
from services.kernel.delivery import Delivery
from services.kernel.event import Event
from services.kernel.ports.network import Answer
from services.match.index import Matcher
from services.observe.tracing import SpanTracer
from tests.support.factories import a_subscription, an_event

TRACE, PRODUCER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ASKED, NOT_ASKED = f"00-{TRACE}-{PRODUCER}-01", f"00-{TRACE}-{PRODUCER}-00"
SUBSCRIPTION = a_subscription("plan.*", url="https://example.com/hook?token=secret")


class Client:
    """Answers everything in the same way, and keeps the headers."""

    def __init__(self, outcome: Outcome, status: int | None) -> None:
        self.answer = Answer(outcome, status, (), b"", None, None, connect=0.02)
        self.sent = ""

    async def request(self, method: str, url: str, **given: object) -> Answer:
        del method, url
        self.sent = given["headers"]["traceparent"]  # type: ignore[index]
        return self.answer


class Traced:
    """A worker's matcher and sender, traced."""

    def __init__(self, *, share: float = 0.0, outcome: Outcome = Outcome.OK) -> None:
        self.exporter = InMemorySpanExporter()
        numbers = iter(range(1, 1_000))
        tracer = SpanTracer(
            processor=SimpleSpanProcessor(self.exporter),
            resource=Resource({}),
            share=share,
            chance=lambda: 0.5,
            randbits=lambda _: next(numbers),
        )
        clock = SystemClock()
        self.client = Client(outcome, 200 if outcome is Outcome.OK else 503)
        sender = SigningSender(
            client=self.client, clock=clock, user_agent="us", randbytes=lambda n: b"\xaa" * n
        )
        self.sender = TracedSender(sender=sender, tracer=tracer)
        self.matcher = TracedMatcher(on_broken=lambda _: None, tracer=tracer, clock=clock)
        self.matcher.replace_all([SUBSCRIPTION])

    async def deliver(self, event: Event) -> dict[str, ReadableSpan]:
        for _ in self.matcher.match(event):
            await self.sender.deliver(a_delivery(event), SUBSCRIPTION, waited=0.25)
        return {span.name: span for span in self.exporter.get_finished_spans()}


def a_delivery(event: Event) -> Delivery:
    return Delivery(
        position=event.position, epoch=1, subscription_id=SUBSCRIPTION.id, event_id=event.id,
        type=event.type, body=b"{}", content_type="application/json", key=None,
        project_id=event.project_id, timestamp_ms=event.timestamp_ms,
        traceparent=event.traceparent,
    )  # fmt: skip


def traced_event(traceparent: str | None) -> Event:
    event = an_event()
    event.traceparent = traceparent
    return event


async def test_a_trace_goes_from_the_producer_to_the_receiver() -> None:
    traced = Traced()
    spans = await traced.deliver(traced_event(ASKED))
    assert list(spans) == ["match", "queue", "request"]
    match, queue, request = spans.values()
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert f"{match.parent.span_id:016x}" == PRODUCER
    assert queue.parent.span_id == request.parent.span_id == match.context.span_id
    assert traced.client.sent == f"00-{TRACE}-{request.context.span_id:016x}-01"
    assert request.kind is SpanKind.CLIENT
    assert queue.end_time - queue.start_time == pytest.approx(250_000_000, rel=1e-3)
    assert queue.end_time == request.start_time
    assert match.attributes["webhooks.due"] == 1
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["webhooks.connect_ms"] == 20


async def test_a_failed_request_is_an_error_in_its_trace() -> None:
    spans = await Traced(outcome=Outcome.HTTP).deliver(traced_event(ASKED))
    assert spans["request"].status.status_code is StatusCode.ERROR
    assert spans["request"].status.description == "http"


async def test_a_span_has_no_path_and_no_query() -> None:
    spans = await Traced().deliver(traced_event(ASKED))
    assert spans["request"].attributes["server.address"] == "example.com"
    assert "secret" not in "".join(span.to_json() for span in spans.values())


@pytest.mark.parametrize(
    ("traceparent", "share", "followed"),
    [(NOT_ASKED, 1.0, False), (None, 0.0, False), (None, 0.6, True), (ASKED, 0.0, True)],
)
async def test_the_producers_flag_decides_and_else_a_share(
    traceparent: str | None, share: float, *, followed: bool
) -> None:
    traced = Traced(share=share)
    spans = await traced.deliver(traced_event(traceparent))
    assert bool(spans) is followed
    if traceparent is not None:
        assert traced.client.sent[3:35] == TRACE  # passed on, whoever follows it
        assert traced.client.sent[-2:] == traceparent[-2:]
    if spans:
        trace = spans["match"].context.trace_id
        assert traced.client.sent[3:35] == f"{trace:032x}"


def test_who_asked_for_no_traces_has_nothing_of_them_on_the_way_of_an_event() -> None:
    sender = object()
    untraced = cast("Ports", SimpleNamespace(tracer=None, sender=sender))
    assert groups._sender(untraced) is sender
    assert type(groups._matcher(untraced, on_broken=lambda _: None)) is Matcher


@pytest.mark.timeout(120)
def test_who_asked_for_no_traces_loads_nothing_of_them() -> None:
    script = (
        "import services.run.dispatch, sys; print([m for m in sys.modules if 'telemetry' in m])"
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "[]"
