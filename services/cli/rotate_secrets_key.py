"""`rotate-secrets-key`: what is secret in Postgres comes under the present key."""

import typer

from services.cli.client import UnreachableError
from services.cli.command import AnswerIsNoError, command
from services.cli.console import Console
from services.kernel.errors import StoreGoneError, WebhooksError
from services.settings import load


def register(app: typer.Typer) -> None:
    """Add the command."""
    example = "WEBHOOKS_SECRETS__PREVIOUS_KEYS=… planner-webhooks rotate-secrets-key"
    command(app, "rotate-secrets-key", example=example)(rotate_secrets_key)


async def rotate_secrets_key(console: Console) -> None:
    """Re-encrypt all secrets with WEBHOOKS_SECRETS__KEY; previous keys aren't needed afterwards."""
    from services.run.rotation import main  # noqa: PLC0415 - a command loads what it needs

    try:
        done = await main(load())
    except StoreGoneError as error:
        raise UnreachableError(f"Postgres does not answer: {error}") from error
    except WebhooksError as error:  # a key that isn't there; what was done stays
        console.error(str(error))
        raise AnswerIsNoError from error
    console.rows([{"what": what, "encrypted anew": count} for what, count in done.items()],
                 ["what", "encrypted anew"])  # fmt: skip
    console.hint(
        "nothing is encrypted with another key any more; WEBHOOKS_SECRETS__PREVIOUS_KEYS can be emptied"
    )
