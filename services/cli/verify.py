"""`verify`: is a captured request valid, and if not, why not."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.command import AnswerIsNoError, UsageError, command
from services.cli.console import Console
from services.deliver import verify as rules
from services.kernel.clock import SystemClock


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(
        app,
        "verify",
        example='planner-webhooks verify --secret "$SECRET" --headers headers.txt --body body.json',
    )(verify)


def verify(
    console: Console,
    *,
    secret: Annotated[str, typer.Option(help="whsec_… or, for v1a, whpk_…")],
    headers: Annotated[
        Path,
        typer.Option(
            exists=True, dir_okay=False, help="The request's headers: Name: value lines, or JSON."
        ),
    ],
    body: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="The request's body, byte for byte.")
    ],
    tolerance: Annotated[
        float, typer.Option(min=0, help="How many seconds old it may be; 0: any age.")
    ] = rules.TOLERANCE_SECONDS,
    now: Annotated[
        float | None, typer.Option(help="Check as of this time, Unix seconds; default: now.")
    ] = None,
) -> None:
    """Check whether a captured request is valid; if not, say why and exit with 1."""
    try:
        verifier = rules.parse(secret)
        found = rules.read_headers(headers.read_bytes())
    except ValueError as error:
        raise UsageError(str(error)) from error
    answer = rules.verify(
        verifier,
        headers=found,
        body=body.read_bytes(),
        now=SystemClock().time() if now is None else now,
        tolerance=tolerance,
    )
    if console.as_json:
        console.record(answer._asdict())
    else:
        console.line("valid" if answer.valid else f"not valid: {answer.message}")
    if not answer.valid:
        raise AnswerIsNoError
