"""aiohttp's server, in the two things for which an application comes too late or too early.

Where a request can't be parsed there is no application yet that could answer: aiohttp's protocol does,
in plain text, with its name and Python's version, and an error in the log for whoever sends garbage.
Here it is refused in our own words. And who takes nothing of an answer that is already written would
keep its connection and what waits in it for ever: the kernel is told to let go.
"""

import asyncio
import socket
import sys
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from services.api.edge import HEADERS, SERVER, STALLED_SECONDS
from services.api.problems import CONTENT_TYPE, Problem

log = structlog.get_logger()

MAX_DETAIL = 200


class Runner(web.AppRunner):
    """Runs an application; what can't be parsed is answered with a problem."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,  # noqa: SLF001 - of the same kind
            **made._kwargs,  # noqa: SLF001
        )


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Protocol(RequestHandler):
    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        let_go(transport, after=STALLED_SECONDS)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        said = " ".join((message or exc.message).split())[:MAX_DETAIL]
        # What it says quotes the line, in which a key may stand: the caller's to read, not the log's.
        log.info("request_unreadable", remote=request.remote, error=type(exc).__name__)
        answer = web.Response(
            status=status,
            body=_problem(status, said).body(),
            content_type=CONTENT_TYPE,
            headers={**HEADERS, "Server": SERVER},
        )
        answer.force_close()
        return answer


def let_go(transport: asyncio.BaseTransport, *, after: float) -> None:
    """Have the kernel end the connection once nothing written was taken for *after* seconds.

    That holds for a window that stays shut as well (tcp(7), TCP_USER_TIMEOUT). Linux alone has it.
    """
    peer = cast("socket.socket | None", transport.get_extra_info("socket"))
    if peer is not None and sys.platform == "linux":
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(after * 1_000))


def _problem(status: int, said: str) -> Problem:
    """Return it in the words of both APIs: which one was meant is unknown."""
    detail = said or HTTPStatus(status).description
    older = {"message": detail, "messageId": "request.invalid"}
    return Problem(status, "unreadable", "The request can't be read", detail, extra=older)
