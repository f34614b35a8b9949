"""Jinja2: one environment, always escaping; a name that nobody gave is an error."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.dashboard import became, charts, hints, timeline, times, words
from services.dashboard.assets import address
from services.dashboard.theme import theme_address

KILO = 1_000
MINUTE_MS = 60_000
SIZES = ("bytes", "kB", "MB", "GB", "TB")


class Templates:
    """Draws pages."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("services.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            number=number,
            percent=percent,
            ms=ms,
            size=size,
            utc=times.utc,
            duration=words.duration,
            sentence=words.sentence,
        )
        self._environment.globals.update(
            asset=address,
            with_query=with_query,
            theme_address=theme_address,
            words=words,
            became=became,
            hint=hints.hint,
            timeline=timeline,
            charts=charts,
            shown_count=number,
            shown_ms=ms,
            shown_time=times.shown,
        )
        for name in self._environment.list_templates():
            self._environment.get_template(name)  # none is compiled while a request waits

    def draw(self, name: str, values: dict[str, Any]) -> str:
        """Return a page."""
        return self._environment.get_template(name).render(values)


def with_query(query: Mapping[str, str], **changes: str | None) -> str:
    """Return `?…` of *query* with *changes*; None takes one out.

    A cursor that isn't named goes too: it belongs to the filters that were.
    """
    wanted = {"cursor": None, **changes}
    found = {**query, **{name: text for name, text in wanted.items() if text is not None}}
    for name, text in wanted.items():
        if text is None:
            found.pop(name, None)
    return "?" + urlencode(found) if found else ""


def number(value: float | None) -> str:
    """Return 1234567 as 1,234,567."""
    return "—" if value is None else f"{value:,.0f}"


def percent(part: float | None) -> str:
    """Return a share, 0 to 1; 100 % only where it is all."""
    if part is None:
        return "—"
    shown = f"{part * 100:.1f}"
    if part < 1 and shown == "100.0":
        shown = "99.9"
    return f"{shown.removesuffix('.0')} %"


def ms(value: float | None) -> str:
    """Return milliseconds as people read them: 8 ms, 1.2 s, 5 min."""
    if value is None:
        return "—"
    if value >= MINUTE_MS:
        return words.duration(value / KILO)
    return f"{value:.0f} ms" if value < KILO else f"{value / KILO:.1f} s"


def size(value: float | None) -> str:
    """Return bytes as people read them: 812 bytes, 1.4 MB."""
    if value is None:
        return "—"
    for unit in SIZES:
        if value < KILO or unit == SIZES[-1]:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= KILO
    raise AssertionError
