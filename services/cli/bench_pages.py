"""`bench pages`: what people look at, over a month of history."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from services.cli.bench_lanes import show
from services.cli.client import call_as
from services.cli.command import UsageError
from services.cli.console import Console
from services.kernel.errors import WebhooksError


async def pages(
    console: Console,
    *,
    attempts: Annotated[
        int, typer.Option(min=100_000, help="Attempts in 30 days of history.")
    ] = 10_000_000,
    folder: Annotated[
        Path | None, typer.Option(help="Where the data is kept: the next run only measures.")
    ] = None,
) -> None:
    """Request lists and every page of the dashboard, over millions of attempts."""
    from services.run.bench_pages import measure  # noqa: PLC0415 - a command loads what it needs

    with ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="planner-webhooks-bench-")
            folder = Path(stack.enter_context(made))
        try:
            found = await measure(folder, attempts=attempts, call_as=call_as, say=console.hint)
        except WebhooksError as error:
            raise UsageError(str(error)) from error
    show(console, found)
