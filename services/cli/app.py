"""All commands, and the headings under which help lists them."""

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
    dev,
    demo,
    simulate,
    subscriptions,
    filters,
    again,
    replay,
    listen,
    trigger,
    verify,
    roles,
    settings,
    reset_offsets,
    rotate_secrets_key,
    bench,
):
    module.register(app)

PANELS = {
    "Try it on this machine": ("dev", "demo", "simulate"),
    "Webhooks and events": ("subscriptions", "filter", "events", "resend", "replay"),
    "Build a receiver": ("listen", "trigger", "verify"),
    "Roles of a deployment": ("dispatch", "record", "geofence", "api"),
    "Operate it": ("migrate", "settings", "reset-offsets", "rotate-secrets-key", "bench"),
}
"""Under which heading each command is listed in --help."""
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}
for _command in app.registered_commands:
    _command.rich_help_panel = _PANEL_OF[str(_command.name)]
for _group in app.registered_groups:
    _group.rich_help_panel = _PANEL_OF[str(_group.name)]


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
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    remember(ctx, api=api, key=key, as_json=as_json, no_color=no_color)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:  # one that came while modules were loaded
        sys.exit(130)
