"""The commands."""

import sys

import typer

from services.cli import roles
from services.version import VERSION

app = typer.Typer(
    name="planner-webhooks",
    help="Webhooks for fleets: Kafka is the queue, receivers get signed requests, nothing is lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(roles.app)


@app.callback(invoke_without_command=True)
def _options(
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),  # noqa: FBT001, FBT003 - how typer takes a flag
) -> None:
    if version:
        print(VERSION)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
