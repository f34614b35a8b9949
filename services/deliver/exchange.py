"""One HTTP/1.1 exchange on a pooled connection of aiohttp, and nothing else around it.

aiohttp's connector does the hard part: resolving, pooling, happy eyeballs, TLS, parsing. Its session
would cost as much again for what a webhook never needs: cookies, redirects, proxies, kinds of bodies, a
task per body (with 64 requests in flight, 72 µs of CPU per request with a session and 37 without).
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from services.kernel.attempt import Outcome
from services.kernel.ports.network import Answer

EXCERPT_BYTES = 1_024
MAX_HEADERS = 32
MAX_HEADER_CHARS = 256
MAX_TARGETS = 20_000
PIECES = 20
"""Of a body that trickles."""
OK_FROM, OK_BELOW = 200, 300
FINAL_FROM, SWITCHING = 200, 101
ACCEPT = "Accept: */*\r\nAccept-Encoding: identity\r\n"


_NONE: tuple[tuple[str, str], ...] = ()


class Trip:
    """What happened to a request on its way, whether or not it gets an answer."""

    __slots__ = ("address", "connect", "tls", "tls_began")

    def __init__(self) -> None:
        self.address: str | None = None
        """`ip:port` of the socket."""
        self.tls_began: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None


TRIP: ContextVar[Trip | None] = ContextVar("trip", default=None)
"""The trip of this task's request: the socket's creation and TLS handshake are noted in it."""


class _Peers:
    """The addresses that connections to a host and port lead to: nearly always a single one."""

    __slots__ = ("address", "several")

    def __init__(self) -> None:
        self.address: str | None = None
        self.several = False

    def note(self, address: str) -> None:
        """Take in a new connection."""
        self.several = self.several or self.address not in (None, address)
        self.address = address

    def of(self, transport: asyncio.Transport) -> str | None:
        """Return where a connection that was kept alive leads. Asking the system costs 0.4 µs."""
        if not self.several:
            return self.address
        peer = transport.get_extra_info("peername")
        return peer and shown(peer[0], peer[1])


class _Target(NamedTuple):
    """What is the same in all requests to a URL."""

    request: aiohttp.ClientRequest
    """What the connector goes by; it is never sent."""
    path: str
    host: str
    peers: _Peers


class Exchanger:
    """Sends a request over one of *connector*'s connections and reads the answer up to a cap."""

    def __init__(
        self, connector: aiohttp.TCPConnector, *, connect_seconds: float, response_bytes: int
    ) -> None:
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._response_bytes = response_bytes
        self._loop = asyncio.get_running_loop()
        self._targets: dict[str, _Target] = {}
        self._peers: dict[str, _Peers] = {}

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        trip: Trip,
        body_seconds: float = 0.0,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Make one request. Raises what aiohttp raises, and ValueError for what can't be sent.

        *trip* is filled in on the way; who made the socket has put its address there. A connection
        that was made with *context* serves requests with the same one, and no others.
        """
        target = self._target(url) if context is None else self._made(url, context)
        head = _head(method, target, headers, len(body))
        began = self._loop.time()
        try:
            connection = await self._connector.connect(target.request, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(str(error)) from error
        try:
            protocol = connection.protocol
            if protocol is None or protocol.transport is None:
                raise aiohttp.ClientConnectionResetError("closed before the request was sent")  # noqa: TRY301 - closed below, like all others
            protocol.set_response_params(
                skip_payload=method == "HEAD", read_until_eof=True, auto_decompress=False
            )
            sent = self._loop.time()
            if trip.address is None:
                trip.address = target.peers.of(protocol.transport)
            else:
                _connected(trip, target.peers, began=began, now=sent)
            if body_seconds:
                answer, whole = await self._slowly(
                    protocol, head, body, trip, began=sent, seconds=body_seconds
                )
            else:
                protocol.transport.write(head + body)
                answer, whole = await self._answer(protocol, trip, sent)
        except BaseException:
            connection.close()
            raise
        if whole:
            connection.release()
        else:
            connection.close()
        return answer

    async def _answer(
        self, protocol: ResponseHandler, trip: Trip, sent: float
    ) -> tuple[Answer, bool]:
        """Return the answer, and whether it was read to its end."""
        message, payload = await protocol.read()
        while (
            message.code < FINAL_FROM and message.code != SWITCHING
        ):  # 100 Continue, 103 Early Hints
            message, payload = await protocol.read()
        first_byte = self._loop.time() - sent
        excerpt, size = b"", 0
        while not payload.at_eof() and size < self._response_bytes and not protocol.upgraded:
            chunk = await payload.readany()
            size += len(chunk)
            if len(excerpt) < EXCERPT_BYTES:
                excerpt += chunk[: EXCERPT_BYTES - len(excerpt)]
        whole = payload.at_eof() and not protocol.upgraded
        if OK_FROM <= message.code < OK_BELOW:
            outcome, headers = Outcome.OK, _NONE
        else:
            outcome = Outcome.HTTP
            headers = tuple(
                (name[:MAX_HEADER_CHARS], value[:MAX_HEADER_CHARS])
                for name, value in list(message.headers.items())[:MAX_HEADERS]
            )
        answer = Answer(
            outcome, message.code, headers, excerpt, trip.address, None,
            trip.connect, trip.tls, first_byte,
        )  # fmt: skip
        return answer, whole

    async def _slowly(
        self,
        protocol: ResponseHandler,
        head: bytes,
        body: bytes,
        trip: Trip,
        *,
        began: float,
        seconds: float,
    ) -> tuple[Answer, bool]:
        """Send the body slowly while waiting for the answer: a receiver that gives up early says so."""
        assert protocol.transport is not None  # noqa: S101 - it was looked at
        protocol.transport.write(head)
        trickle = self._loop.create_task(_trickle(protocol.transport, body, seconds))
        try:
            answer, whole = await self._answer(protocol, trip, began)
            return answer, whole and trickle.done()
        finally:
            trickle.cancel()

    def _target(self, text: str) -> _Target:
        found = self._targets.get(text)
        if found is None:
            made = self._made(text, None)
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            found = self._targets[text] = made
        return found

    def _made(self, text: str, context: ssl.SSLContext | None) -> _Target:
        """Return a target. One with a context is not kept: it would keep the context, a megabyte."""
        url = URL(text)
        if url.scheme not in {"http", "https"}:
            raise aiohttp.NonHttpUrlClientError(url)
        if not url.raw_host or url.raw_user or url.raw_password:
            raise aiohttp.InvalidURL(url, "it has no host, or a user or password")
        if len(self._peers) >= MAX_TARGETS:
            self._peers.clear()
        request = aiohttp.ClientRequest("POST", url, loop=self._loop, ssl=context or True)
        host = url.host_port_subcomponent or ""
        peers = self._peers.setdefault(f"{url.raw_host}:{url.port}", _Peers())
        return _Target(request, url.raw_path_qs, host, peers)


def shown(host: str, port: int) -> str:
    """Return an address as people write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _trickle(transport: asyncio.Transport, body: bytes, seconds: float) -> None:
    """Write *body* piece by piece, the last of them after so many *seconds*."""
    size = -(-len(body) // PIECES) or 1
    for begin in range(0, len(body), size):
        await asyncio.sleep(seconds / PIECES)
        if transport.is_closing():
            return
        transport.write(body[begin : begin + size])


def _connected(trip: Trip, peers: _Peers, *, began: float, now: float) -> None:
    """Take in how a new connection came to be."""
    assert trip.address is not None  # noqa: S101 - a socket was made
    peers.note(trip.address)
    if trip.tls_began is not None:
        trip.tls = now - trip.tls_began
    trip.connect = (trip.tls_began or now) - began


def _head(method: str, target: _Target, headers: Mapping[str, str], length: int) -> bytes:
    lines = "\r\n".join([f"{name}: {value}" for name, value in headers.items()])
    breaks = len(headers) - 1
    if lines.count("\n") != breaks or lines.count("\r") != breaks or "\0" in lines:
        raise ValueError("a header has a line break in it")  # it would smuggle in another header
    return (
        f"{method} {target.path} HTTP/1.1\r\nHost: {target.host}\r\n{ACCEPT}"
        f"Content-Length: {length}\r\n{lines}\r\n\r\n"
    ).encode()
