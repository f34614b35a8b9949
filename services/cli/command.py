"""How a command is made: the options that all share, an example in its help, an exit code for each end.

0 done · 1 it ran and the answer is no · 2 wrong usage, or unusable settings ·
3 nobody answers · 4 refused by the API · 130 interrupted.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from services.cli.client import RefusedError, UnreachableError
from services.cli.console import Console
from services.kernel.errors import WebhooksError
from services.kernel.event import Json
from services.settings import InvalidSettingsError

NO, USAGE, NOBODY, REFUSED, INTERRUPTED = 1, 2, 3, 4, 130

PANEL = "Everywhere"
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="URL",
        help="Address of the API; default: WEBHOOKS_CLI__API.",
        rich_help_panel=PANEL,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="API key; default: WEBHOOKS_CLI__KEY.", rich_help_panel=PANEL
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object per line.", rich_help_panel=PANEL)
]
NoColor = Annotated[
    bool, typer.Option("--no-color", help="Print without colours.", rich_help_panel=PANEL)
]

_EVERYWHERE: dict[str, tuple[Any, Any]] = {
    "api": (ApiUrl, None),
    "key": (ApiKey, None),
    "as_json": (AsJson, False),
    "no_color": (NoColor, False),
}


class UsageError(WebhooksError):
    """The command line was wrong; nothing was done."""


class AnswerIsNoError(WebhooksError):
    """The command ran, and the answer is no; everything has been printed already."""


def remember(ctx: typer.Context, **options: Any) -> None:  # noqa: ANN401 - as typer read them
    """Keep options that were given before the command's name."""
    ctx.ensure_object(dict).update({name: value for name, value in options.items() if value})


def command(
    app: typer.Typer, name: str, *, example: str, hidden: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a function to *app*; its first parameter is the Console, the others are typer's."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(ctx: typer.Context, **arguments: Any) -> None:  # noqa: ANN401 - as typer read them
            given = {option: arguments.pop(option) for option in _EVERYWHERE}
            before = ctx.ensure_object(dict)
            console = Console(**{k: v or before.get(k) or v for k, v in given.items()})
            with exit_codes(console):
                result = function(console, **arguments)
                if inspect.iscoroutine(result):
                    asyncio.run(result)

        run.__doc__ = function.__doc__
        run.__signature__ = _signature(function)  # type: ignore[attr-defined]  # typer reads it
        # No-break spaces would be copied with the example; a list item keeps it on a line of its own.
        epilog = f"Example: {example}"
        app.command(name, hidden=hidden, epilog=epilog)(run)
        return function

    return add


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    own = [*inspect.signature(function, eval_str=True).parameters.values()][1:]
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter("ctx", kind, annotation=typer.Context),
            *(parameter.replace(kind=kind) for parameter in own),
            *(
                inspect.Parameter(name, kind, annotation=annotation, default=default)
                for name, (annotation, default) in _EVERYWHERE.items()
            ),
        ]
    )


def given(**options: object) -> Json:
    """Return the options that were given; the API decides about the others."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def exit_codes(console: Console) -> Iterator[None]:
    """Turn named errors into sentences on stderr and an exit code."""
    try:
        yield
    except AnswerIsNoError as error:
        raise typer.Exit(NO) from error
    except UsageError as error:
        console.error(str(error))
        raise typer.Exit(USAGE) from error
    except InvalidSettingsError as error:
        for fault in error.faults:
            console.error(fault)
        raise typer.Exit(USAGE) from error
    except RefusedError as error:
        for line in (str(error), *(f"  {fault}" for fault in error.faults)):
            console.error(line)
        raise typer.Exit(REFUSED) from error
    except UnreachableError as error:
        console.error(str(error))
        raise typer.Exit(NOBODY) from error
