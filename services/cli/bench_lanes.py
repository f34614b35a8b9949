"""`bench catchup|isolation|memory`: what lanes promise, as ratios within one run."""

import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.client import call_as
from services.cli.command import UsageError
from services.cli.console import Console
from services.dev.cpu import hardware
from services.kernel.errors import WebhooksError

if TYPE_CHECKING:
    from services.dev.bench_filters import Figure


async def catchup(
    console: Console,
    *,
    events: Annotated[int, typer.Option(min=10_000, help="Events in the backlog.")] = 200_000,
) -> None:
    """Read a backlog for lanes, alone and beside live traffic; start a replay."""
    from services.run.bench_catchup import measure  # noqa: PLC0415 - a command loads what it needs

    await _measured(
        console,
        lambda folder: measure(folder, events=events, call_as=call_as, say=console.hint),
    )


async def isolation(
    console: Console,
    *,
    seconds: Annotated[
        float, typer.Option(min=2, help="Length of each slice beside a receiver that hangs.")
    ] = 10.0,
    events: Annotated[
        int, typer.Option(min=500, help="Events in each slice, each due to 20 receivers.")
    ] = 1_500,
) -> None:
    """Deliver to healthy receivers beside others that hang, are down, or recover."""
    from services.run.bench_isolation import measure  # noqa: PLC0415

    await _measured(
        console,
        lambda folder: measure(
            folder, seconds=seconds, events=events, call_as=call_as, say=console.hint
        ),
    )


async def memory(
    console: Console,
    *,
    subscriptions: Annotated[int, typer.Option(min=1_000)] = 100_000,
    detached: Annotated[int, typer.Option(min=1, help="How many more fail.")] = 1_000,
) -> None:
    """Hold many subscriptions in one worker, some of them detached."""
    from services.run.bench_isolation import memory as measure  # noqa: PLC0415

    await _measured(
        console,
        lambda folder: measure(
            folder,
            subscriptions=subscriptions,
            detached=detached,
            call_as=call_as,
            say=console.hint,
        ),
    )


async def _measured(
    console: Console, measure: Callable[[Path], Awaitable[Iterable["Figure"]]]
) -> None:
    with tempfile.TemporaryDirectory(prefix="planner-webhooks-bench-") as folder:
        try:
            found = await measure(Path(folder))
        except WebhooksError as error:
            raise UsageError(str(error)) from error
    show(console, found)


def show(console: Console, figures: Iterable["Figure"]) -> None:
    """Print figures beside what they have to be, and what they were taken on."""
    rows = [
        {
            "what": figure.what,
            "figure": f"{figure.value:,.2f} {figure.unit}",
            "allowed": f"{'at least' if figure.at_least else 'up to'} {figure.allowed:,g}",
            "holds": "yes" if figure.holds else "no",
        }
        for figure in figures
    ]
    console.rows(rows, ["what", "figure", "allowed", "holds"])
    console.hint(hardware())
