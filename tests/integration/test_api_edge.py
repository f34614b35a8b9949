"""The edge of the API: what every answer carries, how much and how long it listens, who is slowed."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import web

from services.api import server
from services.api.app import problems
from services.api.edge import HEADERS, MAX_LINE_BYTES, read_body
from services.api.server import Runner
from services.observe import metrics
from services.settings.working import Deliver
from tests.support import openapi
from tests.support.api import ServedApi, an_api
from tests.support.eventually import eventually


@pytest.fixture
async def api(kafka: str, database: str) -> AsyncIterator[ServedApi]:
    async with an_api(kafka, database, key_requests_per_second=2.0) as api:
        yield api


async def test_every_answer_carries_the_headers_that_browsers_heed(api: ServedApi) -> None:
    for method, path, status in (
        ("GET", "/v1/projects", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/readyz", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/v1/projects", 405),
        ("POST", "/v1/projects", 422),
        ("GET", "/v2/webhooks", 400),
    ):
        answered = await api.ask(method, path)
        assert answered.status == status or path.startswith("/v2"), (path, answered)
        assert {name: answered.headers[name] for name in HEADERS} == dict(HEADERS), path
        assert answered.headers["Server"] == "planner-webhooks"


async def test_every_answer_is_counted_by_its_class(api: ServedApi) -> None:
    before = dict(metrics.ANSWERS.counts)
    for method, path in (("GET", "/v1/projects"), ("GET", "/nothing"), ("PUT", "/v1/projects")):
        await api.ask(method, path)
    grown = {status: count - before[status] for status, count in metrics.ANSWERS.counts.items()}
    assert grown == {"2xx": 1, "3xx": 0, "4xx": 2, "5xx": 0}


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(api: ServedApi) -> None:
    _, key = await api.new_project("read")
    answers = [await api.ask("GET", "/v1/subscriptions", key=key) for _ in range(12)]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(answers) - len(refused) >= 4
    assert refused
    for answer in refused:
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json["type"] == "/problems/too-many"
    _, other = await api.new_project("read")
    assert (await api.ask("GET", "/v1/subscriptions", key=other)).status == 200
    planner = [await api.ask("GET", "/v2/webhooks", key=key) for _ in range(12)]
    assert "rate.limited" in {
        answer.json["messageId"] for answer in planner if answer.status == 429
    }


async def test_who_lets_only_known_addresses_in_is_told_them_and_a_planned_change(
    kafka: str, database: str
) -> None:
    deliver = Deliver(
        egress_addresses="192.0.2.7, 2001:db8::/64",
        egress_next_addresses="192.0.2.8",
        egress_next_from="2026-03-17T09:00:00Z",
    )
    async with an_api(kafka, database, deliver=deliver) as api:
        _, key = await api.new_project("read")
        answered = await api.ask("GET", "/v1/egress", key=key)
    assert answered.json == {
        "addresses": ["192.0.2.7", "2001:db8::/64"],
        "next": {"addresses": ["192.0.2.8"], "from": "2026-03-17T09:00:00.000Z"},
    }
    assert (
        openapi.faults("GET", "/v1/egress", 200, "application/json", answered.text.encode()) == []
    )


async def test_more_header_than_anybody_needs_is_refused(api: ServedApi) -> None:
    big = "x" * (MAX_LINE_BYTES + 1)
    assert (await api.ask("GET", "/v1/projects", headers={"X-Big": big})).status == 400
    assert (await api.ask("GET", f"/v1/projects?limit={big}")).status == 400
    assert (await api.ask("GET", "/v1/projects")).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n",
        b"GET /v1/projects HTTP/1.1\r\nX Y: 1\r\n\r\n",
        b"GET /v2/webhooks HTTP/1.1\r\nX: " + b"x" * (MAX_LINE_BYTES + 1) + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_as_all_else_is(
    api: ServedApi, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    assert head.split(b" ", 2)[1] == b"400"
    assert b"Content-Type: application/problem+json" in head
    assert b"Server: planner-webhooks" in head
    problem = orjson.loads(body)
    assert (problem["status"], problem["type"]) == (400, "/problems/unreadable")
    assert problem["messageId"] == "request.invalid", "whose API was meant is unknown"
    assert not [row for row in caplog.records if row.levelname == "ERROR"], "anybody may send it"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nConte", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", b"HTTP/1.1 408"),
    ],
)
async def test_what_does_not_come_frees_the_connection(sent: bytes, answer: bytes) -> None:
    """Nothing at all, half of a header, half of a body."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=await read_body(request, 1_000, seconds=0.2))

    app = web.Application(middlewares=[problems])
    app.router.add_post("/", handle)
    runner = Runner(app, keepalive_timeout=0.2, lingering_time=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            said = await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()
        assert said.startswith(answer)
        assert bool(said) is bool(answer)
    finally:
        await runner.cleanup()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets go by itself")
async def test_an_answer_that_nobody_takes_frees_the_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "STALLED_SECONDS", 0.3)

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=bytes(32 << 20))  # more than what the kernel would hold for both

    app = web.Application()
    app.router.add_get("/", handle)
    runner = Runner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        with socket.create_connection(runner.addresses[0]) as nobody:
            nobody.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await eventually(lambda: bool(runner.server and runner.server.connections))
            await eventually(lambda: not (runner.server and runner.server.connections))
        assert not [row for row in caplog.records if row.levelname == "ERROR"]
    finally:
        await runner.cleanup()
