"""A trace that a producer began goes on to the receiver, and all of it reaches a collector."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.cluster import Put, a_cluster, an_event, free_port, receiving
from tests.support.eventually import eventually

pytestmark = pytest.mark.timeout(120)
TRACE, PRODUCER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@asynccontextmanager
async def collecting(spans: list[Span]) -> AsyncIterator[str]:
    """A collector of traces; yields where it is."""

    async def take(request: web.Request) -> web.Response:
        asked = ExportTraceServiceRequest.FromString(await request.read())
        spans.extend(s for r in asked.resource_spans for sc in r.scope_spans for s in sc.spans)
        return web.Response(body=b"", content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/v1/traces"
    finally:
        await runner.cleanup()


async def openmetrics(address: str) -> str:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with (
        ClientSession(headers=headers) as session,
        session.get(f"http://{address}/metrics") as response,
    ):
        return await response.text()


async def test_a_trace_goes_from_the_producer_to_the_receiver_and_to_the_collector(
    kafka: str, database: str, tmp_path: Path
) -> None:
    spans: list[Span] = []
    async with (
        receiving() as receiver,
        collecting(spans) as endpoint,
        a_cluster(kafka, database, tmp_path) as cluster,
    ):
        await cluster.subscribe(receiver.url)
        observed = f"127.0.0.1:{free_port()}"
        worker = await cluster.start(
            WEBHOOKS_OBSERVE__OTLP_ENDPOINT=endpoint, WEBHOOKS_OBSERVE__LISTEN=observed
        )
        header = [("traceparent", f"00-{TRACE}-{PRODUCER}-01".encode())]
        await cluster.put(Put(an_event("traced", project=cluster.project), headers=header))
        await eventually(lambda: receiver.seen, within=30)
        metrics = await openmetrics(observed)
        assert await worker.terminate() == 0  # what is left is sent at the end

    (seen,) = receiver.seen
    by_name = {span.name: span for span in spans}
    assert set(by_name) == {"match", "queue", "request"}
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert by_name["match"].parent_span_id.hex() == PRODUCER
    assert by_name["request"].parent_span_id == by_name["match"].span_id
    assert seen.headers["traceparent"] == f"00-{TRACE}-{by_name['request'].span_id.hex()}-01"
    for histogram in ("webhooks_attempt_seconds_bucket", "webhooks_end_to_end_seconds_bucket"):
        examples = [line for line in metrics.splitlines() if line.startswith(histogram)]
        assert any(f'trace_id="{TRACE}"' in line for line in examples)
