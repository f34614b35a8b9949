"""`settings`: what is in force, where each value came from, secrets hidden."""

import base64
import os
import re
from collections.abc import Mapping
from typing import Annotated

import typer
from pydantic import SecretStr

from services.cli.command import command
from services.cli.console import Console
from services.settings import Settings, load, unknown_variables, variables
from services.settings.values import KEY_BYTES

HIDDEN = "***"
_PASSWORD = re.compile(r"(://[^:/@]*):.*@")  # up to the last @: a password may have one
_QUERY_PASSWORD = re.compile(r"(password=)[^&]*", re.IGNORECASE)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "settings", example="planner-webhooks settings --json | grep KAFKA")(settings)


def settings(
    console: Console,
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Print a fresh WEBHOOKS_SECRETS__KEY instead.")
    ] = False,
) -> None:
    """Print all settings, their values, and where each came from; secrets are hidden."""
    if new_key:
        console.line(base64.b64encode(os.urandom(KEY_BYTES)).decode())
        return
    for sentence in unknown_variables(os.environ):
        console.hint(f"warning: {sentence}")
    console.rows(rows(load(), os.environ), ["variable", "value", "from"])


def rows(found: Settings, environ: Mapping[str, str]) -> list[dict[str, object]]:
    """Return variable, value and origin of everything that can be set."""
    given = {name.upper() for name in environ}
    listed: list[dict[str, object]] = []
    for variable, section, field in variables():
        whole = f"{variable.partition('__')[0]}"
        source = next((name for name in (variable, whole) if name in given), None)
        value = getattr(getattr(found, section), field)
        listed.append(
            {
                "variable": variable,
                "value": _shown(value),
                "from": f"environment ({source})" if source == whole else _origin(source),
            }
        )
    return listed


def _origin(source: str | None) -> str:
    return "default" if source is None else "environment"


def _shown(value: object) -> object:
    match value:
        case SecretStr():
            return _hidden(value.get_secret_value())
        case tuple():
            return " ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
        case _:
            return value


def _hidden(secret: str) -> str:
    """Hide a secret; of an address only its password, since the rest is what people look for."""
    if "://" in secret:
        return _QUERY_PASSWORD.sub(rf"\1{HIDDEN}", _PASSWORD.sub(rf"\1:{HIDDEN}@", secret))
    return HIDDEN if secret else ""
