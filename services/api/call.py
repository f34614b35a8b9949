"""A request as handlers see it, and an answer as they give it."""

import base64
import binascii
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias, TypeVar

from services.api.encode import encoded
from services.control.access import Caller
from services.control.checks import is_storable, near, parse_moment
from services.kernel.errors import Fault, FaultsError
from services.kernel.ids import is_id
from services.kernel.registration import Page
from services.kernel.value import value

DEFAULT_LIMIT, MAX_LIMIT = 50, 500
MAX_DIGITS = 18
MS_DIGITS = 14
"""Of Unix milliseconds, up to the year 5138: of more no time can be made."""
QUERY = "The query is not valid"
T = TypeVar("T")


@value
class Call:
    """One request, its key checked and its body read."""

    caller: Caller
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    """Decoded JSON; an empty object where none was sent."""

    def only(self, *known: str) -> Mapping[str, str]:
        """Return the query parameters. Raises FaultsError for unknown ones."""
        faults = self.unknown(*known)
        if faults:
            raise FaultsError(QUERY, faults)
        return self.query

    def page(
        self,
        *filters: str,
        choices: Mapping[str, Sequence[str]] | None = None,
        noted: Sequence[Fault] = (),
    ) -> Page:
        """Return where a list goes on; *choices* are filters of few values. Raises FaultsError.

        It asks for one more than is shown: whether that is there says if there is a next page.
        *noted* is what is wrong with filters of other kinds: told with the rest.
        """
        query = self.query
        faults = [*self.unknown("limit", "cursor", *filters), *noted]
        limit, wrong = self.limit()
        faults += wrong
        page = _uncursor(query.get("cursor"), self._belongs(filters))
        if page is None:
            message = "no cursor of this list: take the `next` of an answer, with the same filters"
            faults.append(Fault("cursor", message, parameter="cursor"))
            page = Page(limit, None)
        for name, among in (choices or {}).items():
            text = query.get(name)
            if text is not None and text not in among:
                message = f"{text!r} is not one of {', '.join(among)}{near(text, among)}"
                faults.append(Fault("choice", message, parameter=name))
        if faults:
            raise FaultsError(QUERY, faults)
        return page._replace(limit=limit + 1)

    def limit(self) -> tuple[int, list[Fault]]:
        """Return how many are asked for, and what is wrong with that."""
        text = self.query.get("limit", str(DEFAULT_LIMIT))
        if _is_number(text) and 1 <= int(text) <= MAX_LIMIT:
            return int(text), []
        return DEFAULT_LIMIT, [Fault("range", f"a limit is 1 to {MAX_LIMIT}", parameter="limit")]

    def moments(
        self, first: str, last: str
    ) -> tuple[datetime | None, datetime | None, list[Fault]]:
        """Return the range of time that two parameters name, and what is wrong with them."""
        faults = [
            Fault("time", "write a time as 2026-03-17T09:40:51.000Z", parameter=name)
            for name in (first, last)
            if name in self.query and parse_moment(self.query[name]) is None
        ]
        since, until = (parse_moment(self.query.get(name)) for name in (first, last))
        if since is not None and until is not None and since >= until:
            message = f"{first} must lie before {last}"
            faults.append(Fault("range", message, parameter=last))
        return since, until, faults

    def unknown(self, *known: str) -> list[Fault]:
        """Return what is unknown or can't be looked for."""
        faults = [
            Fault("unknown_parameter", f"no parameter {name!r}{near(name, known)}", parameter=name)
            for name in self.query
            if name not in known
        ]
        faults += [
            Fault("text", f"{name} has a character that can't be stored", parameter=name)
            for name, text in self.query.items()
            if name in known and not is_storable(text)
        ]
        return faults

    def listed(
        self, rows: Sequence[T], page: Page, show: Callable[[T], Any], *filters: str
    ) -> "Answer":
        """Return one page of a list, and the cursor of the next, which tells of the same moment."""
        more = len(rows) == page.limit
        rows = rows[: page.limit - 1]
        last = rows[-1] if more else None
        cursor = None
        if last is not None:
            text = f"{self._belongs(filters)}|{last.id}"  # type: ignore[attr-defined]  # all have one
            if page.as_of is not None:
                text += f".{int(page.as_of.timestamp() * 1000)}"
            cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
        return Answer(200, {"data": [show(row) for row in rows], "next": cursor})

    @property
    def if_version(self) -> int | None:
        """Return the version that `If-Match` asks for; one that can't match for another's ETag."""
        tag = self.headers.get("If-Match")
        if tag is None or tag.strip() == "*":
            return None
        plain = tag.strip().removeprefix("W/").strip('"')
        return int(plain) if _is_number(plain) else -1

    def _belongs(self, filters: Iterable[str]) -> str:
        """A cursor belongs to its filters: with others it would skip or repeat."""
        return "&".join(f"{name}={self.query[name]}" for name in filters if name in self.query)


class Answer(NamedTuple):
    """What is answered."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = {}
    content_type: str = "application/json"

    def encoded(self) -> bytes:
        """Return the body's bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else encoded(self.body)


class Streamed(NamedTuple):
    """What is answered piece by piece, as long as the caller listens."""

    pieces: AsyncGenerator[bytes, None]
    content_type: str


Handler: TypeAlias = Callable[[Call], Awaitable[Answer | Streamed]]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def _uncursor(cursor: str | None, belongs: str) -> Page | None:
    """Return where a list goes on, as `listed` has written it; None: this is none of its cursors."""
    if cursor is None:
        return Page(DEFAULT_LIMIT, None)
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    filters, _, edge = text.rpartition("|")
    id_, dot, as_of = edge.partition(".")
    if filters != belongs or not is_id(id_) or (dot and not _is_moment(as_of)):
        return None
    return Page(DEFAULT_LIMIT, id_, datetime.fromtimestamp(int(as_of) / 1000, UTC) if dot else None)


def _is_moment(ms: str) -> bool:
    return _is_number(ms) and len(ms) <= MS_DIGITS
