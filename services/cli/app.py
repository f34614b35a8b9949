"""The commands in one list."""

import sys
from typing import Annotated

import typer

from services.cli import (
    again,
    bench,
    demo,
    dev,
    filters,
    listen,
    replay,
    reset_offsets,
    roles,
    rotate_secrets_key,
    settings,
    simulate,
    subscriptions,
    trigger,
    verify,
)
from services.cli.command import ApiKey, ApiUrl, AsJson, NoColor, remember
from services.version import VERSION

app = typer.Typer(
    name="planner-webhooks",
    help="Webhooks for fleets: Kafka is the queue, receivers get signed requests, nothing is lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    again,
    listen,
    dev,
    roles,
    replay,
    reset_offsets,
    rotate_secrets_key,
    settings,
    simulate,
    trigger,
    subscriptions,
    filters,
    verify,
    bench,
    demo,
):
    module.register(app)


def _version(asked: bool) -> None:  # noqa: FBT001 - how typer calls back
    if asked:
        print(VERSION)
        raise typer.Exit


@app.callback(epilog="Example: planner-webhooks dev")
def _options(
    ctx: typer.Context,
    *,
    api: ApiUrl = None,
    key: ApiKey = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
    version: Annotated[  # noqa: ARG001 - read by its callback
        bool, typer.Option("--version", help="The version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    remember(ctx, api=api, key=key, as_json=as_json, no_color=no_color)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:  # one that came while modules were loaded
        sys.exit(130)
