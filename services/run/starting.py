"""How a role starts: it says what it waits for, gives up in one sentence, and ends when told to."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import structlog

from services.kernel.errors import BrokerGoneError, StoreGoneError, WebhooksError
from services.observe.health import Standing, health_app, serving
from services.settings import InvalidSettingsError, Settings

log = structlog.get_logger()

WAIT_SECONDS = 1.0


class StartError(WebhooksError):
    """The process can't start: what it needs isn't there; the message says what to do.

    Settings that can't be used are an InvalidSettingsError, here as where they are read.
    """


async def standing(settings: Settings, stack: AsyncExitStack) -> Standing:
    """Serve health, readiness and metrics from now on, so that a role that waits can say for what.

    Raises InvalidSettingsError where the port is taken.
    """
    found = Standing()
    app = health_app(ready=found, alive=lambda: None)
    listen = settings.observe.listen
    try:
        await stack.enter_async_context(serving(app, listen))
    except OSError as error:
        raise cannot_listen("WEBHOOKS_OBSERVE__LISTEN", listen, error) from error
    return found


def cannot_listen(variable: str, address: str | None, error: OSError) -> InvalidSettingsError:
    """Return what to say of an address that is taken, or not of this machine."""
    return InvalidSettingsError(
        [f"{variable}: can't listen on {address}: {error.strerror}; choose another"]
    )


def on_signals(stop: Callable[[], None]) -> None:
    """Have *stop* called at SIGTERM and SIGINT, in the running loop."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def waited_for(
    what: str,
    start: Callable[[], Awaitable[None]],
    *,
    seconds: float,
    standing: Standing | None = None,
) -> None:
    """Call *start* until it works, and have *standing* say so. Raises StartError after *seconds*."""
    if standing is not None:
        standing.waits_for(what)
    until = time.perf_counter() + seconds
    while True:
        try:
            await start()
        except (BrokerGoneError, StoreGoneError) as error:
            if time.perf_counter() > until:
                raise StartError(
                    f"gave up waiting for {what} after {seconds:g} s: {error}"
                ) from error
            log.info("waiting", what=what, error=str(error))
            await asyncio.sleep(WAIT_SECONDS)
        else:
            return
