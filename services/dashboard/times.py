"""Times of the API as pages show them, in UTC; pure.

The script (`static/app.js`) writes the same forms in the viewer's zone. Its are as long as these, or the
page would move once it has run.
"""

from datetime import datetime

FORMS = {"full": "%-d %b %Y, %H:%M:%S", "short": "%-d %b, %H:%M", "axis": "%-d %b, %H:%M"}
"""As `FORMS` of the script (there September is Sept), in words of `strftime`; there is also `ago`."""

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
BESIDE = {"day": ("yesterday", "tomorrow")}
"""What one day ago and in one day are called; seconds have a word for none: now."""


def utc(text: str, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    """Return a time of the API, 2026-03-17T09:40:51.000Z, as 2026-03-17 09:40:51 UTC, or as *form*."""
    return datetime.fromisoformat(text).strftime(form)


def shown(text: str, form: str, now: datetime) -> str:
    """Return a time of the API in one of `FORMS`, without its zone, or as `ago` from *now*."""
    at = datetime.fromisoformat(text)
    return ago((at - now).total_seconds()) if form == "ago" else at.strftime(FORMS[form])


def ago(seconds: float) -> str:
    """Return 3 minutes ago, in 2 hours, yesterday, now; of seconds from now, negative for what was.

    As `Intl.RelativeTimeFormat` says it in English with `numeric: "auto"` (ECMA-402).
    """
    unit, length = next(((unit, size) for unit, size in UNITS if abs(seconds) >= size), UNITS[-1])
    count = int(abs(seconds) / length)
    if count == 0:
        return "now"
    if count == 1 and unit in BESIDE:
        return BESIDE[unit][seconds > 0]
    said = f"{count} {unit}" if count == 1 else f"{count:,} {unit}s"
    return f"in {said}" if seconds > 0 else f"{said} ago"
