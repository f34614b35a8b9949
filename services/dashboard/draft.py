"""A form that came when its session was over: nothing is done, and it is shown again with what was typed.

It goes along as a hidden field while its owner signs in, without the fields that hold secrets. Then it is
sent once more with `again`, and the first change that its page asks for is refused, as a fault of the
form: so each page shows its own form in its own way.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from services.kernel.errors import Fault, FaultsError

TOKEN, ONCE, AGAIN = "token", "once", "again"
"""Fields that every form has: whose it is; which one, so that twice is once; that it is shown again."""
SECRET = frozenset({"key", "secret", "link", "headers", "certificate_key"})
CODE = "session"
HOME = "/webhooks"
NOTE = "Your session had ended, and nothing was changed. You are signed in again: do it once more."


class AgainError(FaultsError):
    """A form is shown again, and not done."""

    def __init__(self, at: str) -> None:
        said = (
            "The session had ended before this was sent: look it over and send it once more."
            " Secrets are not kept, so type those anew."
        )
        super().__init__("Not sent yet", [Fault(CODE, said)])
        self.at = at
        """Where the form was, for pages that have no place for faults."""


class Draft(NamedTuple):
    """What was sent too late."""

    path: str
    """It was sent to."""
    at: str
    """The page that it was on."""
    fields: Sequence[tuple[str, str]]

    def written(self) -> str:
        """Return it as a field holds it."""
        return orjson.dumps([self.path, self.at, self.fields]).decode()


def kept(path: str, at: str, several: Mapping[str, Sequence[str]]) -> Draft:
    """Return a draft of what was typed, but for secrets."""
    pairs = [
        (name, text) for name, texts in several.items() if name not in SECRET for text in texts
    ]
    return Draft(path, at, pairs)


def read(text: str | None) -> Draft | None:
    """Return the draft that a field holds; None where it holds none that leads to a path of ours."""
    try:
        found: Any = orjson.loads(text or "")
        path, at, fields = found
        draft = Draft(str(path), safe(str(at)), [(str(n), str(text)) for n, text in fields])
    except (ValueError, TypeError):
        return None
    return draft if draft.path == safe(draft.path) else None


def origin_of(referer: str | None) -> str:
    """Return the path of the page that a form was on, as the browser says."""
    parts = urlsplit(referer or "")
    return safe(parts.path + (f"?{parts.query}" if parts.query else ""))


def safe(goal: str | None) -> str:
    """Return a path of ours; home where it could lead to another site."""
    if not goal or not goal.startswith("/") or goal.startswith(("//", "/\\")):
        return HOME
    return goal
