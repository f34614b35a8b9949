"""What every answer carries, whatever made it, and is counted as; how long a caller may take to ask."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from services.observe import metrics

MAX_LINE_BYTES = 8_190
"""Of the request line and of each header; aiohttp answers 400 beyond it."""
BODY_SECONDS = 30.0
"""For the whole of a body: who sends a byte now and then holds a connection, and no more."""
IDLE_SECONDS = 75.0
"""A kept-alive connection without a request is closed after so long."""
STALLED_SECONDS = 60.0
"""A connection whose other side takes nothing of what was written is ended after so long."""

SERVER = "planner-webhooks"
HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@web.middleware
async def counted(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Count every answer, and how long it took to make; the outermost, so that errors are answers."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    response = await handler(request)
    metrics.ANSWERS.counts[f"{response.status // 100}xx"] += 1
    if isinstance(response, web.Response):
        metrics.ANSWER_SECONDS.observe(loop.time() - began)
    return response


def harden(app: web.Application) -> None:
    """Put the headers on all answers of *app*, errors of routing included; a handler's own win."""
    app.on_response_prepare.append(_add_headers)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if "frame-ancestors 'none'" not in response.headers["Content-Security-Policy"]:
        del response.headers["X-Frame-Options"]  # older, and knows no origins
    response.headers["Server"] = SERVER  # aiohttp has put its own and Python's version there


async def read_body(request: web.Request, limit: int, *, seconds: float = BODY_SECONDS) -> bytes:
    """Return the body.

    Raises HTTPRequestEntityTooLarge before it is read whole, HTTPRequestTimeout after *seconds*.
    """
    if request.content_length is not None and request.content_length > limit:
        raise web.HTTPRequestEntityTooLarge(limit, request.content_length)
    try:
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError as error:
        text = f"it did not come within {seconds:g} s"
        raise web.HTTPRequestTimeout(text=text) from error
