"""What a command sees of the person: where the API is, and where to say what.

Results go to stdout, for people or, with `--json`, one object per line. Progress, hints and errors go
to stderr, coloured only on a terminal.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence

import orjson
from rich.console import Console as Terminal
from rich.table import Table

from services.cli.client import Api
from services.settings import load

WIDE = 4_000
"""Columns where the output is no terminal: nothing is wrapped, so that grep and cut work."""


class Console:
    """One run of one command."""

    def __init__(self, *, api: str | None, key: str | None, as_json: bool, no_color: bool) -> None:
        self._url = api
        self._key = key
        self.as_json = as_json
        self._out = Terminal(
            no_color=no_color or None,
            highlight=False,
            soft_wrap=True,
            width=None if sys.stdout.isatty() else WIDE,
        )
        self._err = Terminal(
            no_color=no_color or None, stderr=True, highlight=False, soft_wrap=True
        )

    def api(self) -> Api:
        """Return a client for the API: options first, then `WEBHOOKS_CLI__…`."""
        defaults = load().cli
        key = self._key or (defaults.key.get_secret_value() if defaults.key else None)
        return Api(url=self._url or defaults.api, key=key)

    def line(self, text: str) -> None:
        """Print one line of the result as it is."""
        self._out.print(text, markup=False)

    def record(self, row: Mapping[str, object]) -> None:
        """Print one object: a line a field, or one line of JSON."""
        if self.as_json:
            print(orjson.dumps(row).decode())
            return
        width = max(map(len, row), default=0)
        for name, value in row.items():
            self.line(f"{name:{width}}  {_text(value)}")

    def rows(self, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
        """Print a table of *columns*, or each whole object as a line of JSON."""
        if self.as_json:
            for row in rows:
                print(orjson.dumps(row).decode())
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_text(row.get(column)) for column in columns))
        self._out.print(table)

    def hint(self, text: str) -> None:
        """Say something that is no result."""
        self._err.print(text, markup=False, style="dim")

    def progress(self, text: str) -> None:
        """Say how far something is; on a terminal alone, each time in the same place."""
        if self._err.is_terminal:
            self._err.print(f"\r\x1b[2K{text}", markup=False, style="dim", end="")

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._err.print(text, markup=False, style="red")


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case str():
            return value
        case list() if all(isinstance(item, str) for item in value):
            return " ".join(value)
        case _:
            return orjson.dumps(value).decode()
