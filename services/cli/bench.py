"""`bench …`: figures as ratios within one run, for people or as JSON."""

import asyncio
import gc
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.bench_chaos import chaos, farm
from services.cli.bench_lanes import catchup, isolation, memory, show
from services.cli.bench_pages import pages
from services.cli.client import call_as
from services.cli.command import UsageError, command
from services.cli.console import Console
from services.dev.cpu import hardware
from services.kernel.errors import WebhooksError

if TYPE_CHECKING:  # a command loads what it needs: all others start faster
    from services.run.bench import Figures

KEY = bytes(range(32))
RECORDED = 400_000
"""Attempts that a recorder finds in the log: some twenty seconds of it."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group,
        name="bench",
        help="Benchmarks; what is compared is measured within one run.",
        epilog="Example: planner-webhooks bench match",
    )
    me = "planner-webhooks bench"
    command(group, "catchup", example=f"{me} catchup --events 200000")(catchup)
    command(group, "chaos", example=f"{me} chaos --minutes 5 --seed 7")(chaos)
    command(group, "deliver", example=f"{me} deliver --events 40000 --slices 5")(deliver)
    command(group, "filters", example=f"{me} filters")(filters)
    command(group, "history", example=f"{me} history --attempts 10000000")(history)
    command(group, "isolation", example=f"{me} isolation --seconds 20")(isolation)
    command(group, "memory", example=f"{me} memory --json")(memory)
    command(group, "pages", example=f"{me} pages --attempts 1000000")(pages)
    command(group, "match", example=f"{me} match --json")(match)
    command(group, "sink", example=f"{me} sink --listen 127.0.0.1:9000", hidden=True)(sink)
    command(group, "farm", example=f"{me} farm --listen 127.0.0.1:9000", hidden=True)(farm)
    command(group, "bare", example=f"{me} bare --url http://127.0.0.1:9000/", hidden=True)(bare)


async def deliver(
    console: Console,
    *,
    events: Annotated[int, typer.Option(min=1_000, help="Events in each slice.")] = 20_000,
    slices: Annotated[int, typer.Option(min=1, help="Pairs of slices in each case.")] = 3,
) -> None:
    """Deliver, compared with a bare aiohttp loop that signs and posts the same bodies."""
    from services.run.bench import CASES, Bench  # noqa: PLC0415 - a command loads what it needs

    found = []
    with tempfile.TemporaryDirectory(prefix="planner-webhooks-bench-") as folder:
        try:
            async with Bench(Path(folder), events=events, call_as=call_as) as bench:
                for case in CASES:
                    figures = await bench.case(case, slices=slices, say=console.hint)
                    found += list(_rows(figures))
        except WebhooksError as error:
            raise UsageError(str(error)) from error
    columns = [
        "case",
        "who",
        "per CPU s",
        "ratio",
        "noise",
        "per s",
        "CPU s/1000, all",
        "p50/p99 ms",
    ]
    console.rows(found, columns)
    console.hint(hardware())


async def history(
    console: Console,
    *,
    attempts: Annotated[
        int, typer.Option(min=16_000, help="Attempts to store and search.")
    ] = 1_000_000,
    events: Annotated[int, typer.Option(min=1_000, help="Events in each slice.")] = 20_000,
    slices: Annotated[
        int, typer.Option(min=0, help="Pairs of slices, with and without history; 0: none.")
    ] = 3,
) -> None:
    """Deliver with and without history; store attempts of up to 30 days, and look some up."""
    from services.run.bench import CASES, Bench  # noqa: PLC0415 - a command loads what it needs
    from services.run.bench_history import recorded, stored  # noqa: PLC0415 - as above

    with tempfile.TemporaryDirectory(prefix="planner-webhooks-bench-") as folder:
        try:
            figures = await stored(Path(folder), attempts=attempts, say=console.hint)
            ratio, recorder = None, None
            if slices:
                async with Bench(Path(folder), events=events, call_as=call_as) as bench:
                    some = min(attempts, RECORDED)
                    recorder = await recorded(bench.stack, attempts=some, say=console.hint)
                    ratio = await bench.history(CASES[0], slices=slices, say=console.hint)
        except WebhooksError as error:
            raise UsageError(str(error)) from error
    console.record({
        "on_by_off": ratio and round(ratio, 3),
        "recorder_per_second": recorder and round(recorder),
        **{name: round(value, 1) for name, value in figures._asdict().items()},
    })  # fmt: skip


def match(console: Console) -> None:
    """Match against 100,000 subscriptions in 1,000 projects, compared with 10."""
    from services.dev.bench_match import match as measure  # noqa: PLC0415

    console.record({**measure()._asdict()})


def filters(console: Console) -> None:
    """Match 1,000 and 10,000 filters, with geofences, and filters written to be slow."""
    from services.dev.bench_filters import measure  # noqa: PLC0415

    show(console, measure())


async def sink(
    console: Console,  # noqa: ARG001 - every command has one
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT")],
    delay: Annotated[float, typer.Option(help="Seconds until it answers.")] = 0.0,
) -> None:
    """Receive and count, as cheaply as possible."""
    from services.dev.sink import Sink  # noqa: PLC0415

    gc.freeze()
    host, _, port = listen.rpartition(":")
    server = await Sink(delay=delay).serve(host, int(port))
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    server.close()


def bare(
    console: Console,  # noqa: ARG001 - every command has one
    *,
    url: Annotated[str, typer.Option(help="Where to post.")],
    bodies: Annotated[Path, typer.Option(exists=True, help="What to post, one body per line.")],
    in_flight: Annotated[int, typer.Option(help="Requests at once.")] = 64,
) -> None:
    """Sign and post, and nothing else."""
    import uvloop  # noqa: PLC0415

    from services.dev.bare import post  # noqa: PLC0415
    from services.run.dispatch import GC_THRESHOLD  # noqa: PLC0415

    lines = bodies.read_bytes().splitlines()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 20, 50)
    uvloop.run(post(url=url, key=KEY, bodies=lines, in_flight=in_flight))


def _rows(figures: "Figures") -> list[Mapping[str, object]]:
    case = f"{figures.case.in_flight} in flight, {figures.case.delay * 1000:.0f} ms"
    middle = len(figures.bare) // 2
    bare, ours = (
        sorted(each, key=lambda slice_: slice_.per_cpu_second)[middle]
        for each in (figures.bare, figures.dispatch)
    )
    return [
        {
            "case": case,
            "who": "bare loop",
            "per CPU s": f"{bare.per_cpu_second:.0f}",
            "noise": f"{figures.noise:.0%}",
            "per s": f"{bare.per_second:.0f}",
        },
        {
            "case": case,
            "who": "dispatcher",
            "per CPU s": f"{ours.per_cpu_second:.0f}",
            "ratio": f"{figures.ratio:.2f}",
            "per s": f"{ours.per_second:.0f}",
            "CPU s/1000, all": f"{ours.all_cpu_per_thousand:.3f}",
            "p50/p99 ms": f"{figures.p50_ms:.1f} / {figures.p99_ms:.1f}",
        },
    ]
