"""What a subscription may say of order, pace, grouping and age, to and from columns."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import orjson

from services.kernel.subscription import EACH, Grouping, Mode, OnExhausted, OrderBy, Ordered

_EACH = orjson.dumps({"mode": "each"}).decode()
_NO_AGE = "{}"


def options_of(row: asyncpg.Record) -> dict[str, Any]:
    """Return the fields that subscriptions and registrations have in common here."""
    return {
        "rate_limit": row["rate_limit"],
        "ordered": Ordered(row["ordered"]),
        "order_by": OrderBy(row["order_by"]),
        "on_exhausted": OnExhausted(row["on_exhausted"]),
        "delivery": grouping_of(orjson.loads(row["delivery"])),
        "filter": row["filter"],
        "max_age_seconds": tuple(orjson.loads(row["max_age_seconds"]).items()),
    }


def grouping_of(written: Mapping[str, Any]) -> Grouping:
    """Return the value of `delivery` as it is written in JSON."""
    grouping = Grouping(**{**written, "mode": Mode(written["mode"])})
    return EACH if grouping == EACH else grouping  # one object for the many that say nothing


def grouping_text(grouping: Grouping) -> str:
    """Return `delivery` as JSON, without what isn't said."""
    if grouping == EACH:
        return _EACH
    said = {name: value for name, value in grouping._asdict().items() if value is not None}
    return orjson.dumps(said).decode()


def ages_text(ages: tuple[tuple[str, float], ...]) -> str:
    """Return `max_age_seconds` as JSON."""
    return orjson.dumps(dict(ages)).decode() if ages else _NO_AGE
