"""`dispatch`, `api`, `migrate`, `settings`: one role, in the foreground."""

import asyncio
import base64
import os
import sys
from collections.abc import Callable

import typer
from pydantic import ValidationError

from services.kernel.errors import WebhooksError
from services.observe.logging import configure
from services.settings import PREFIX, Settings, unknown_variables, variables

app = typer.Typer()

USAGE, NOBODY = 2, 3


def load() -> Settings:
    """Read the settings; where they are wrong, say all of it and end with 2."""
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = PREFIX + "__".join(str(step) for step in fault["loc"]).upper()
            print(f"{name}: {fault['msg']}", file=sys.stderr)
        raise typer.Exit(USAGE) from error
    for sentence in unknown_variables(os.environ):
        print(f"warning: {sentence}", file=sys.stderr)
    return settings


def run_role(main: Callable[[Settings], None]) -> None:
    """Run a role until it ends; what keeps it from running is one sentence and exit code 3."""
    settings = load()
    configure(level=settings.observe.log_level, form=settings.observe.log_format)
    try:
        main(settings)
    except WebhooksError as error:
        print(f"planner-webhooks: {error}", file=sys.stderr)
        raise typer.Exit(NOBODY) from error
    except ExceptionGroup as group:
        known, other = group.split(WebhooksError)
        if other is not None or known is None:
            raise
        for leaf in _leaves(known):
            print(f"planner-webhooks: {leaf}", file=sys.stderr)
        raise typer.Exit(NOBODY) from group


@app.command()
def dispatch() -> None:
    """Deliver: read the topics, match, send, retry. Drains on SIGTERM.

    Example: WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 planner-webhooks dispatch
    """
    from services.run.dispatch import main  # noqa: PLC0415 - a command loads what it needs

    run_role(main)


@app.command()
def api() -> None:
    """Serve the REST API. Drains on SIGTERM.

    Example: WEBHOOKS_API__LISTEN=0.0.0.0:8080 planner-webhooks api
    """
    from services.run.api import main  # noqa: PLC0415 - a command loads what it needs

    run_role(main)


@app.command()
def migrate(
    check: bool = typer.Option(
        False, "--check", help="Change nothing; exit 1 if something is left."
    ),  # noqa: FBT001, FBT003 - how typer takes a flag
) -> None:
    """Make or update tables and topics.

    Example: planner-webhooks migrate --check
    """
    from services.run.migrate import main  # noqa: PLC0415 - a command loads what it needs

    done: list[str] = []
    run_role(lambda settings: done.extend(asyncio.run(main(settings, check=check))))
    for line in done:
        print(line)
    if check and done:
        raise typer.Exit(1)


@app.command()
def settings(
    new_key: bool = typer.Option(False, "--new-key", help="Print a fresh WEBHOOKS_SECRETS__KEY."),  # noqa: FBT001, FBT003 - how typer takes a flag
) -> None:
    """Print what is in force and where each value came from; secrets are hidden.

    Example: planner-webhooks settings
    """
    if new_key:
        print(base64.b64encode(os.urandom(32)).decode())
        return
    found = load()
    set_names = {name.upper() for name in os.environ}
    for name, section, field in variables():
        value = getattr(getattr(found, section), field)
        source = "environment" if name in set_names else "default"
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        print(f"{name}={'' if shown is None else shown}  # {source}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
