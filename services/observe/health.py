"""`/healthz`, `/readyz` and `/metrics`, in each role on a port of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

Check = Callable[[], str | None]
"""Returns None when all is well, else what isn't."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Standing:
    """What `/readyz` says of a role: what it waits for while it starts, then what its parts say."""

    def __init__(self) -> None:
        self._check: Check = lambda: "it starts"

    def __call__(self) -> str | None:
        """Return None when the role does its work, else why it doesn't."""
        return self._check()

    def waits_for(self, what: str) -> None:
        """Say what the start waits for."""
        self._check = lambda: f"waits for {what}"

    def started(self, check: Check) -> None:
        """Say what *check* says from now on."""
        self._check = check


def health_app(*, ready: Check, alive: Check) -> web.Application:
    """Return the application that answers the three paths."""

    def answering(check: Check) -> Handler:
        async def answer(_: web.Request) -> web.Response:
            trouble = check()
            return web.json_response(
                {"status": "ok"} if trouble is None else {"status": "no", "detail": trouble},
                status=200 if trouble is None else 503,
            )

        return answer

    async def metrics(request: web.Request) -> web.Response:
        # Who asks for OpenMetrics, as Prometheus does, gets exemplars as well.
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/healthz", answering(alive))
    app.router.add_get("/readyz", answering(ready))
    app.router.add_get("/metrics", metrics)
    return app


@asynccontextmanager
async def serving(app: web.Application, listen: str | None) -> AsyncIterator[None]:
    """Serve *app* on `host:port` while the context lasts; nothing where *listen* is None."""
    if listen is None:
        yield
        return
    host, _, port = listen.rpartition(":")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
        yield
    finally:
        await runner.cleanup()
