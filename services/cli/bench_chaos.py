"""`bench chaos`: is anything lost, out of order, or repeated more than was promised?"""

import asyncio
import gc
import logging
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from services.cli.command import AnswerIsNoError, UsageError
from services.cli.console import Console
from services.dev.cpu import hardware
from services.kernel.errors import WebhooksError


async def chaos(
    console: Console,
    *,
    minutes: Annotated[float, typer.Option(min=0.4, help="Minutes under load.")] = 5.0,
    seed: Annotated[
        int, typer.Option(help="Chooses the faults; the same seed chooses the same.")
    ] = 1,
    rate: Annotated[float, typer.Option(min=1, help="Events per second.")] = 60.0,
    drain: Annotated[
        float, typer.Option(min=1, help="Seconds within which everything must then arrive.")
    ] = 120.0,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep logs and the record of requests here."),
    ] = None,
) -> None:
    """Kill, freeze and reset real processes under load, among receivers with bad manners.

    Ends with 1 when something was lost, out of order, or repeated beyond what is promised.
    """
    from services.cli.client import call_as  # noqa: PLC0415
    from services.run.chaos import Chaos  # noqa: PLC0415 - a command loads what it needs

    for library in ("aiokafka", "asyncpg"):  # that servers go away is what this is about
        logging.getLogger(library).setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="planner-webhooks-chaos-") as temporary:
        run = Chaos(
            keep or Path(temporary),
            minutes=minutes,
            seed=seed,
            rate=rate,
            drain_seconds=drain,
            call_as=call_as,
            say=console.hint,
        )
        try:
            report = await run.run()
        except WebhooksError as error:
            raise UsageError(str(error)) from error
    if console.as_json:
        console.record(report.as_json())
    else:
        console.rows(report.as_rows(), ["what", "figure"])
    console.hint(f"seed {seed}, {hardware()}")
    for line in report.complaints():
        console.error(line)
    if not report.holds:
        raise AnswerIsNoError


async def farm(
    console: Console,  # noqa: ARG001 - every command has one
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT")],
    book: Annotated[Path, typer.Option(help="File for a line per finished request.")],
) -> None:
    """Receive as receivers do, well and badly."""
    from services.dev.farm import Farm  # noqa: PLC0415

    gc.freeze()
    host, _, port = listen.rpartition(":")
    open_farm = Farm(book)
    server = await open_farm.serve(host, int(port))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    server.close()
    open_farm.close()
