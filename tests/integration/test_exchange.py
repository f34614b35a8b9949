"""Requests on the wire, against servers that answer byte by byte what a test tells them."""

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from services.deliver.addresses import AddressPolicy
from services.deliver.certificates import read
from services.deliver.http import GuardedClient
from services.deliver.tls import Contexts
from services.dev.folder import free_ports
from services.kernel.attempt import Outcome
from services.kernel.ports.network import Answer
from services.kernel.subscription import ClientCertificate
from tests.support.certificates import Authority

CAP = 4_096


@dataclass
class Server:
    """Answers every request with *answer*; keeps what came, a list per connection."""

    answer: bytes
    port: int = 0
    peers: list[str] = field(default_factory=list)
    shown: list[str | None] = field(default_factory=list)
    """Who the certificate of each connection is of."""
    connections: list[list[bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got: list[bytes] = []
        self.connections.append(got)
        self.peers.append(writer.get_extra_info("peername")[0])
        certificate = writer.get_extra_info("peercert")
        self.shown.append(certificate["subject"][0][0][1] if certificate else None)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                got.append(head + await reader.readexactly(length))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def answering(answer: bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def a_client(**options: Any) -> GuardedClient:  # noqa: ANN401 - as it takes them
    policy = AddressPolicy(allow_networks=["127.0.0.0/8"], allow_http=True)
    return GuardedClient(
        policy=policy, connect_seconds=5, idle_seconds=30, response_bytes=CAP, **options
    )


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with a_client() as client:
        yield client


async def post(
    client: GuardedClient,
    server: Server,
    *,
    scheme: str = "http",
    certificate: ClientCertificate | None = None,
    **headers: str,
) -> Answer:
    return await client.request(
        "POST",
        f"{scheme}://127.0.0.1:{server.port}/hooks?a=%20b",
        headers={"webhook-id": "evt_1", **headers},
        body=b'{"a":1}',
        timeout_seconds=5,
        certificate=certificate,
    )


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_is_exactly_its_headers_and_its_body(client: GuardedClient) -> None:
    async with answering(FINE) as server:
        answer = await post(client, server)

    assert answer[:4] == (Outcome.OK, 200, (), b"ok")
    assert answer.address == f"127.0.0.1:{server.port}"
    assert server.connections == [
        [
            b"POST /hooks?a=%20b HTTP/1.1\r\n"
            + f"Host: 127.0.0.1:{server.port}\r\n".encode()
            + b"Accept: */*\r\nAccept-Encoding: identity\r\nContent-Length: 7\r\n"
            b'webhook-id: evt_1\r\n\r\n{"a":1}'
        ]
    ]


async def test_a_receiver_that_is_down_leaves_no_garbage(client: GuardedClient) -> None:
    """Thousands are probed, and collecting what that left would stop the loop."""
    nobody = Server(FINE, port=free_ports(1)[0])
    await post(client, nobody)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert (await post(client, nobody)).outcome is Outcome.CONNECT
        assert gc.collect() < 20
    finally:
        gc.enable()


async def test_a_connection_serves_request_after_request(client: GuardedClient) -> None:
    async with answering(FINE) as server:
        for _ in range(5):
            assert (await post(client, server)).outcome is Outcome.OK

    assert [len(requests) for requests in server.connections] == [5]


@pytest.mark.parametrize(
    "answer",
    [
        FINE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["asked to close", "over the cap", "another protocol"],
)
async def test_a_connection_that_is_not_at_its_end_serves_no_other_request(
    client: GuardedClient, answer: bytes
) -> None:
    async with answering(answer) as server:
        await post(client, server)
        await post(client, server)

    assert [len(requests) for requests in server.connections] == [1, 1]


async def test_a_body_that_trickles_comes_whole_and_in_its_time(client: GuardedClient) -> None:
    async with answering(FINE) as server:
        answer = await slowly(client, server, body=b"x" * 1_001, seconds=0.2)

    assert answer.outcome is Outcome.OK
    assert answer.first_byte is not None
    assert answer.first_byte >= 0.19  # the loop's clock counts whole milliseconds
    ((request,),) = server.connections
    assert request.endswith(b"\r\n\r\n" + b"x" * 1_001)


async def test_an_answer_to_half_a_body_is_taken_and_its_connection_serves_no_other(
    client: GuardedClient,
) -> None:
    async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await reader.read()  # until it is closed
        writer.close()

    listening = await asyncio.start_server(impatient, "127.0.0.1", 0)
    async with listening:
        server = Server(FINE, port=listening.sockets[0].getsockname()[1])
        answer = await slowly(client, server, body=b"x" * 100, seconds=30)

    assert answer.status == 408


async def slowly(client: GuardedClient, server: Server, *, body: bytes, seconds: float) -> Answer:
    url = f"http://127.0.0.1:{server.port}/"
    return await client.request(
        "POST",
        url,
        headers={"webhook-id": "evt_1"},
        body=body,
        timeout_seconds=5,
        body_seconds=seconds,
    )


async def test_interim_answers_are_passed_over(client: GuardedClient) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with answering(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + FINE) as server:
        assert (await post(client, server)).status == 200


async def test_a_redirect_is_an_answer_and_not_followed(client: GuardedClient) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with answering(moved) as server:
        answer = await post(client, server)

    assert (answer.outcome, answer.status) == (Outcome.HTTP, 302)
    assert ("Location", "/elsewhere") in answer.headers
    assert [len(requests) for requests in server.connections] == [1]


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nX: y", "a\rX", "a\0b"])
async def test_a_header_with_a_line_break_is_never_sent(client: GuardedClient, text: str) -> None:
    async with answering(FINE) as server:
        answer = await post(client, server, custom=text)

    assert (answer.outcome, server.connections) == (Outcome.BLOCKED, [])


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://u:p@127.0.0.1/x", "/x", "http:///x"])
async def test_a_url_that_is_none_of_ours_is_blocked(client: GuardedClient, url: str) -> None:
    answer = await client.request("POST", url, headers={}, body=b"", timeout_seconds=5)

    assert answer.outcome is Outcome.BLOCKED
    assert "u:p" not in str(answer.error)


async def test_bodies_of_a_megabyte_pass_whole_while_others_wait(client: GuardedClient) -> None:
    async with answering(FINE) as server:
        url = f"http://127.0.0.1:{server.port}/"
        bodies = [bytes([65 + n]) * (1 << 20) for n in range(8)]
        answers = await asyncio.gather(
            *(
                client.request("POST", url, headers={"n": "1"}, body=body, timeout_seconds=20)
                for body in bodies
            )
        )

    assert {answer.outcome for answer in answers} == {Outcome.OK}
    got = {request.split(b"\r\n\r\n", 1)[1] for each in server.connections for request in each}
    assert got == set(bodies)


async def test_requests_leave_from_the_address_that_was_chosen() -> None:
    async with answering(FINE) as server, a_client(sources=["127.0.0.9"]) as client:
        assert (await post(client, server)).outcome is Outcome.OK
        assert server.peers == ["127.0.0.9"]


async def test_where_no_chosen_address_reaches_a_receiver_nothing_leaves() -> None:
    async with answering(FINE) as server, a_client(sources=["::1"]) as client:
        answered = await post(client, server)
        assert answered.outcome is not Outcome.OK
        assert server.connections == []


async def test_a_receiver_who_asks_for_our_certificate_is_shown_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "receivers")
    ours = str(authority.pem("hooks.example.com"))
    async with answering(FINE, tls=authority.asking()) as server:
        async with a_client(ca_file=str(authority.file), certificate=(ours, ours)) as client:
            assert (await post(client, server, scheme="https")).outcome is Outcome.OK
        async with a_client(ca_file=str(authority.file)) as client:
            assert (await post(client, server, scheme="https")).outcome is not Outcome.OK
    assert [len(requests) for requests in server.connections if requests] == [1]


def of(authority: Authority, subject: str) -> ClientCertificate:
    """Return a certificate for *subject* as a subscription has it."""
    found = read(*authority.pair(subject), now=datetime.now(UTC))
    assert found.certificate is not None, found.faults
    return found.certificate


async def test_each_subscription_shows_its_own_certificate_on_connections_of_its_own(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path, "receivers")
    ours = str(authority.pem("installation.example"))
    first, second = of(authority, "first.example"), of(authority, "second.example")
    async with (
        answering(FINE, tls=authority.asking()) as server,
        a_client(ca_file=str(authority.file), certificate=(ours, ours)) as client,
    ):
        for certificate in (first, second, None) * 3:
            answer = await post(client, server, scheme="https", certificate=certificate)
            assert answer.outcome is Outcome.OK
    assert server.shown == ["first.example", "second.example", "installation.example"]
    assert [len(requests) for requests in server.connections] == [3, 3, 3]


async def test_of_many_requests_at_once_none_shows_the_certificate_of_another(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path, "receivers")
    certificates = {name: of(authority, name) for name in ("a.example", "b.example", "c.example")}
    async with (
        answering(FINE, tls=authority.asking(insisting=False)) as server,
        a_client(ca_file=str(authority.file)) as client,
    ):
        answers = await asyncio.gather(
            *(
                post(client, server, scheme="https", certificate=certificate, who=name)
                for name, certificate in [*certificates.items(), ("nobody", None)] * 8
            )
        )
    assert {answer.outcome for answer in answers} == {Outcome.OK}
    for shown, requests in zip(server.shown, server.connections, strict=True):
        assert {bytes(shown or "nobody", "ascii")} == {
            request.split(b"who: ")[1].split(b"\r\n")[0] for request in requests
        }


@contextmanager
def alerting(context: ssl.SSLContext, times: int) -> Iterator[int]:
    """Refuse *times* handshakes as servers do, with an alert; asyncio's own hang up without a word."""

    def serve() -> None:
        for _ in range(times):
            connection = context.wrap_socket(
                listening.accept()[0], server_side=True, do_handshake_on_connect=False
            )
            with connection:
                with suppress(ssl.SSLError):
                    connection.do_handshake()
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4_096):  # what comes after a reset would take the alert along
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        thread = Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


async def test_a_receiver_who_does_not_know_our_certificate_says_so(tmp_path: Path) -> None:
    theirs, ours = Authority(tmp_path, "theirs"), Authority(tmp_path, "ours")
    server = Server(FINE)
    with alerting(theirs.asking(), times=2) as server.port:
        async with a_client(ca_file=str(theirs.file)) as client:
            for certificate, said in (
                (None, "certificate required"),
                (of(ours, "stranger.example"), "unknown ca"),
            ):
                answer = await post(client, server, scheme="https", certificate=certificate)
                assert answer.outcome is Outcome.TLS
                assert said in (answer.error or "")


async def test_contexts_are_few_however_many_certificates_there_are(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "receivers")
    contexts = Contexts(ca_file=None, most=2)
    first, second, third = (of(authority, name) for name in ("a.example", "b.example", "c.example"))
    made = await contexts.of(first)
    await contexts.of(second)
    assert await contexts.of(first) is made
    await contexts.of(third)  # in place of the second, which was used longest ago
    assert await contexts.of(first) is made
    assert len(contexts) == 2
