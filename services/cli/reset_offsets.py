"""`reset-offsets`: the whole group from another place, without Java."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from services.cli.client import UnreachableError
from services.cli.command import AnswerIsNoError, UsageError, command
from services.cli.console import Console
from services.kernel.errors import BrokerGoneError, GroupInUseError, WebhooksError
from services.settings import load

Time = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="The first record at or after this time; RFC 3339."),
]
Offset = Annotated[int | None, typer.Option(min=0, help="This offset.")]
Earliest = Annotated[
    bool, typer.Option("--to-earliest", help="The oldest record that is still there.")
]
Topics = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:0,2]",
        help="Only this topic, or some of its partitions; repeat for more. Default: all that are read.",
    ),
]
WithLanes = Annotated[
    bool,
    typer.Option(
        "--with-lanes",
        help="Moving forward: subscriptions that are behind skip ahead too, with a gap each.",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show before and after, and change nothing.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "planner-webhooks reset-offsets --to-datetime 2026-03-17T09:00:00Z --dry-run"
    command(app, "reset-offsets", example=example)(reset_offsets)


async def reset_offsets(
    console: Console,
    *,
    to_datetime: Time = None,
    to_offset: Offset = None,
    to_earliest: Earliest = False,
    topic: Topics = None,
    with_lanes: WithLanes = False,
    dry_run: DryRun = False,
) -> None:
    """Move the offsets of all dispatchers, which must be stopped; events after them are sent again."""
    from services.run.reset import Target, main  # noqa: PLC0415 - a command loads what it needs

    if [to_datetime is not None, to_offset is not None, to_earliest].count(True) != 1:
        raise UsageError("name one of --to-datetime, --to-offset, --to-earliest")
    at = None if to_datetime is None else _milliseconds(to_datetime)
    # It says of each partition that the group has members; below that is one sentence.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with _sentences(console):
        moved, lanes = await main(
            load(),
            topics=topic,
            target=Target(at, to_offset),
            with_lanes=with_lanes,
            dry_run=dry_run,
        )
    counted = ["lanes"] if with_lanes else []
    rows = [
        {
            "topic": row.partition.topic,
            "partition": row.partition.number,
            "before": row.before,
            "after": row.after,
            **({"lanes": lanes.get(row.partition, 0)} if with_lanes else {}),
            "note": row.note,
        }
        for row in moved
    ]
    console.rows(rows, ["topic", "partition", "before", "after", *counted, "note"])
    if dry_run:
        console.hint("nothing was changed")


@contextmanager
def _sentences(console: Console) -> Iterator[None]:
    """Turn what can go wrong with a group into the exit code that it has everywhere."""
    try:
        yield
    except GroupInUseError as error:
        console.error(str(error))
        raise AnswerIsNoError from error
    except BrokerGoneError as error:
        raise UnreachableError(f"Kafka does not answer: {error}") from error
    except WebhooksError as error:
        raise UsageError(str(error)) from error


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"--to-datetime {text!r} is not a time like 2026-03-17T09:00:00Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
