"""The role as a whole: built, listened with, drained."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import structlog
import uvloop
from aiohttp import web

from services.api.edge import IDLE_SECONDS, MAX_LINE_BYTES
from services.api.server import Runner
from services.observe.health import Check, Standing
from services.observe.lag import measure_lag
from services.run import starting
from services.run.api.again import again_of
from services.run.api.base import connected
from services.run.api.chores import Pings, chores, clean, evict
from services.run.api.events import events_of
from services.run.api.insight import insight_of
from services.run.api.people import people_of
from services.run.api.serving import Parts, application
from services.run.api.webhooks import webhooks_of
from services.settings import Settings

log = structlog.get_logger()

SHUTDOWN_SECONDS = 5.0
Background: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
"""What runs beside the requests, until it is cancelled."""


class Built(NamedTuple):
    """The role, ready to run."""

    app: web.Application
    background: Sequence[Background]
    ready: Check


def main(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises InvalidSettingsError, StartError."""
    uvloop.run(_run(settings))


async def _run(settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        standing = await starting.standing(settings, stack)
        built = await build(settings, stack, standing)
        stopping = asyncio.Event()
        starting.on_signals(stopping.set)
        await _listen(built.app, settings.api.listen, stack)
        standing.started(built.ready)
        log.info("api_starts", listen=settings.api.listen)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work()) for work in built.background]
            await stopping.wait()
            for task in tasks:
                task.cancel()
    log.info("api_stopped")


async def build(settings: Settings, stack: AsyncExitStack, standing: Standing) -> Built:
    """Connect, and put together what answers. Raises InvalidSettingsError, StartError."""
    base = await connected(settings, stack, standing)
    people = people_of(base)
    webhooks = webhooks_of(base, people)
    events = events_of(base, people, webhooks)
    again = again_of(base, people, webhooks, events)
    insight = insight_of(base, webhooks, events)
    pings = Pings(base.pool)
    built = Parts(people, webhooks, events, again, insight)
    app = application(base, built, ready=pings.trouble)
    background: list[Background] = [
        pings.run,
        partial(measure_lag, base.clock),
        partial(clean, chores(base.stores, settings), clock=base.clock),
        partial(evict, base.stores.dead_letters, most=settings.retry.dead_letter_bytes),
        again.runner.run,
        insight.runner.run,
    ]
    if base.attempts is not None:
        background.append(base.attempts.run)
    return Built(app, background, pings.trouble)


async def _listen(app: web.Application, listen: str, stack: AsyncExitStack) -> None:
    host, _, port = listen.rpartition(":")
    runner = Runner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=IDLE_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
    except OSError as error:
        raise starting.cannot_listen("WEBHOOKS_API__LISTEN", listen, error) from error
