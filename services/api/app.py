"""How a request goes through: route, key, body, idempotency, handler; and every error's answer."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial

import orjson
import structlog
from aiohttp import web

from services.api.call import Answer, Call, Streamed
from services.api.descriptions import Descriptions
from services.api.edge import read_body
from services.api.once import Once
from services.api.portal import PATH as PORTAL
from services.api.problems import CONTENT_TYPE, Problem, malformed, of_error
from services.api.routes import Route
from services.control.access import Access, Caller
from services.kernel.event import MAX_DEPTH, is_too_deep
from services.match.filters import NotJsonError, load

log = structlog.get_logger()

WRITE_SECONDS = 30.0
NOBODY = Caller("nobody", None, frozenset())
Serving = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refusing = Callable[[Exception, Problem], web.Response]
Showing = Callable[[web.Request, Exception, Problem], web.Response]

REFUSING: web.RequestKey[Refusing] = web.RequestKey("refusing", Callable)  # type: ignore[arg-type]
"""How errors of a request look, where it isn't as a problem."""


PAGES: web.AppKey[Showing] = web.AppKey("pages", Callable)  # type: ignore[arg-type]
"""How errors look to a browser at a path that is nobody's; absent where there are no pages."""
MACHINES = ("/v1", "/v2", "/api/", "/openapi.json", "/asyncapi.json", "/schemas/", "/.well-known/")


class RefusedError(Exception):
    """A request that is answered with a problem before a handler sees it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.title)
        self.problem = problem


class Native:
    """Serves the native API."""

    def __init__(
        self,
        *,
        routes: Sequence[Route],
        access: Access,
        once: Once,
        ready: Callable[[], str | None],
        descriptions: Descriptions,
        max_body_bytes: int,
    ) -> None:
        self._routes = routes
        self._access = access
        self._once = once
        self._ready = ready
        self._descriptions = descriptions
        self._max_body_bytes = max_body_bytes

    def add_to(self, app: web.Application) -> None:
        """Add all routes to *app*."""
        for route in self._routes:
            app.router.add_route(route.method, route.path, self._serving(route))
        self._descriptions.add_to(app)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)

    def _serving(self, route: Route) -> Serving:
        async def serve(request: web.Request) -> web.StreamResponse:
            caller = NOBODY
            if not route.open:
                caller = await self._access.anyone(bearer(request.headers), address=request.remote)
                route.admit(caller)
            raw = await read_body(request, self._max_body_bytes)
            key = request.headers.get("Idempotency-Key")
            if request.method != "POST" or key is None or route.open:
                answer = await route.handler(_call(request, caller, raw, strict=route.strict))
                if isinstance(answer, Streamed):
                    return await _streamed(request, answer)
                return _response(_tagged(answer) if route.is_of_one else answer)

            async def do() -> Answer | Streamed:
                return await route.handler(_call(request, caller, raw, strict=route.strict))

            answer = await self._once.answer(
                do, caller=caller, key=key, method="POST", path=request.path, body=raw
            )
            return _response(answer)

        return serve

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        trouble = self._ready()
        if trouble is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "no", "detail": trouble}, status=503)


def bearer(headers: Mapping[str, str]) -> str | None:
    """Return the key of an `Authorization: Bearer` header."""
    kind, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


@web.middleware
async def problems(request: web.Request, handler: Serving) -> web.StreamResponse:
    """Answer every error; the only place that catches what nobody expected."""
    try:
        return await handler(request)
    except Exception as error:
        problem = _of_request(error) or of_error(error)
        if problem is None:
            log.exception("api_error", method=request.method, path=_told(request.path))
            problem = Problem(500, "internal", "An error of ours", "it was logged; try again")
        if REFUSING not in request and _is_for_people(request):
            return request.app[PAGES](request, error, problem)
        refusing: Refusing = request.get(REFUSING, _refused)
        return refusing(error, problem)


def _is_for_people(request: web.Request) -> bool:
    """Tell whether a browser asks for a page, where no route says who answers."""
    return (
        PAGES in request.app
        and request.method == "GET"
        and "text/html" in request.headers.get("Accept", "")
        and not request.path.startswith(MACHINES)
    )


def shown_by(
    handler: Serving, refused: Callable[[web.Request, Exception, Problem], web.Response]
) -> Serving:
    """Return a handler of somebody else's that shows errors as *refused* does, not as problems."""

    async def serve(request: web.Request) -> web.StreamResponse:
        refusing: Refusing = partial(refused, request)
        request[REFUSING] = refusing
        return await handler(request)

    return serve


def _told(path: str) -> str:
    """Return a path as it may be logged: without the token of a portal link."""
    return f"{PORTAL}…" if path.startswith(PORTAL) else path


def _refused(_: Exception, problem: Problem) -> web.Response:
    headers = {**problem.headers, "Content-Type": CONTENT_TYPE}
    return web.Response(status=problem.status, body=problem.body(), headers=headers)


def _call(request: web.Request, caller: Caller, raw: bytes, *, strict: bool) -> Call:
    return Call(
        caller=caller,
        path=dict(request.match_info),
        query=dict(request.query),
        headers=request.headers,
        body=_decoded(request, raw, strict=strict),
    )


def _decoded(request: web.Request, raw: bytes, *, strict: bool) -> object:
    if not raw.strip():
        return {}
    content_type = request.content_type
    if content_type != "application/json" and not content_type.endswith("+json"):
        detail = f"write Content-Type: application/json, not {content_type}"
        raise RefusedError(Problem(415, "media-type", "Not JSON", detail))
    if strict:
        return strictly(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(malformed(error.msg, error.lineno, error.colno)) from error
    if is_too_deep(raw, body):
        raise RefusedError(malformed(f"nested over {MAX_DEPTH} levels", 1, 1))
    return body


def strictly(raw: bytes) -> object:
    """Return JSON as filters are read, with marks for `control`. Raises RefusedError."""
    try:
        return load(raw)
    except NotJsonError as error:
        raise RefusedError(malformed(error.problem, error.line, error.column)) from error


async def _streamed(request: web.Request, answer: Streamed) -> web.StreamResponse:
    """Send piece by piece; end where the other side takes nothing for too long, or is gone."""
    headers = {"Content-Type": answer.content_type, "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    async with aclosing(answer.pieces) as pieces:
        with suppress(ConnectionError, TimeoutError):
            await response.prepare(request)
            async for piece in pieces:
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(piece)
            await response.write_eof()
    return response


def _tagged(answer: Answer) -> Answer:
    """Return the answer with an ETag: of what has no version of its own, one by its content."""
    if "ETag" in answer.headers:
        return answer
    body = answer.encoded()
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    return answer._replace(body=body, headers={**answer.headers, "ETag": f'"{tag}"'})


def _response(answer: Answer) -> web.Response:
    if answer.status == web.HTTPNoContent.status_code:
        return web.Response(status=answer.status, headers=answer.headers)
    return web.Response(
        status=answer.status,
        body=answer.encoded(),
        headers={**answer.headers, "Content-Type": answer.content_type},
    )


def _of_request(error: Exception) -> Problem | None:
    match error:
        case RefusedError():
            return error.problem
        case web.RequestPayloadError():
            detail = "it breaks off, or is not encoded as its headers say"
            close = {"Connection": "close"}  # where the next request begins is unknown
            return Problem(400, "malformed", "The body can't be read", detail, headers=close)
        case web.HTTPException():
            return _of_http(error)
        case _:
            return None


def _of_http(error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{error.method} is not among {allowed}"
        return Problem(405, "method", "Method not allowed", detail, headers={"Allow": allowed})
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(413, "too-large", "The body is too large", error.text or "")
    if isinstance(error, web.HTTPRequestTimeout):
        close = {"Connection": "close"}  # what is left of the body would be read as a request
        return Problem(408, "timeout", "The body took too long", error.text or "", headers=close)
    if isinstance(error, web.HTTPNotFound):
        return Problem(404, "not-found", "Not found", "there is nothing at this path")
    return Problem(error.status, "refused", error.reason, error.text or error.reason)
