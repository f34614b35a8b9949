"""`dispatch`, `record`, `geofence`, `api`, `migrate`: one role, in the foreground; drains on SIGTERM."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import structlog
import typer

from services.cli.command import NOBODY, USAGE, AnswerIsNoError, command
from services.cli.console import Console
from services.kernel.errors import UnfitSettingError, WebhooksError
from services.observe.logging import configure
from services.settings import Settings, load, unknown_variables

log = structlog.get_logger()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    command(
        app,
        "dispatch",
        example="WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 planner-webhooks dispatch",
    )(dispatch)
    command(app, "record", example="planner-webhooks record")(record)
    command(app, "geofence", example="planner-webhooks geofence")(geofence)
    command(app, "api", example="WEBHOOKS_API__LISTEN=0.0.0.0:8080 planner-webhooks api")(api)
    command(app, "migrate", example="planner-webhooks migrate --check")(migrate)


def dispatch(console: Console) -> None:
    """Deliver events: read the topics, match, send, retry. Drains on SIGTERM."""
    from services.run.dispatch import main  # noqa: PLC0415 - a command loads what it needs

    run_role(console, main)


def record(console: Console) -> None:
    """Store the history of attempts in Postgres, each exactly once. Drains on SIGTERM."""
    from services.run.record import main  # noqa: PLC0415 - a command loads what it needs

    run_role(console, main)


def geofence(console: Console) -> None:
    """Report vehicles that enter and leave geofences. Drains on SIGTERM."""
    from services.run.geofence import main  # noqa: PLC0415 - a command loads what it needs

    run_role(console, main)


def api(console: Console) -> None:
    """Serve the REST API and the dashboard. Drains on SIGTERM."""
    from services.run.api.role import main  # noqa: PLC0415 - a command loads what it needs

    run_role(console, main)


def migrate(
    console: Console,
    *,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; exit with 1 if something is left to do."),
    ] = False,
) -> None:
    """Create or update tables and topics."""
    from services.run.migrate import main  # noqa: PLC0415 - a command loads what it needs

    done: list[str] = []
    run_role(console, lambda settings: done.extend(asyncio.run(main(settings, check=check))))
    for line in done:
        console.line(line)
    if not done:
        console.hint("nothing to do")
    if check and done:
        raise AnswerIsNoError


def run_role(console: Console, main: Callable[[Settings], object]) -> None:
    """Run *main* until it ends; what has a name becomes one sentence, a bug keeps its traceback.

    Raises InvalidSettingsError, also for what is found wrong only when it is used: a file that isn't
    there, a port that is taken.
    """
    settings = load()
    configure(level=settings.observe.log_level, form=settings.observe.log_format)
    for sentence in unknown_variables(os.environ):
        log.warning("unknown_setting", message=sentence)
    # A role takes this over once it has something to drain. Until then it would be lost on the first
    # process of a container, to which nothing happens by default.
    signal.signal(signal.SIGTERM, _terminated)
    try:
        main(settings)
    except (WebhooksError, ExceptionGroup) as error:
        leaves = list(_leaves(error))
        if not all(isinstance(leaf, WebhooksError) for leaf in leaves):
            raise
        for leaf in leaves:
            console.error(f"planner-webhooks: {leaf}")
        unfit = any(isinstance(leaf, UnfitSettingError) for leaf in leaves)
        raise typer.Exit(USAGE if unfit else NOBODY) from error


def _terminated(number: int, _: object) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        sys.exit(128 + number)
    # By itself: raised here, it would be the end of whichever task was interrupted, and told of as its.
    loop.call_soon_threadsafe(sys.exit, 128 + number)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
