"""`bench deliver|match`: figures as ratios within one run."""

from typing import Annotated

import typer

from services.cli.command import command
from services.cli.console import Console


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group,
        name="bench",
        help="Figures, compared within one run.",
        epilog="Example: planner-webhooks bench match",
    )
    command(group, "deliver", example="planner-webhooks bench deliver")(deliver)
    command(group, "match", example="planner-webhooks bench match")(match)
