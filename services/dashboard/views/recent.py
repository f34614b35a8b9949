"""The last events of a project, read from the journal within bounds."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from services import catalogue
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.match.types import selected

Entry = Mapping[str, Any]
"""As `GET /v1/events` lists them."""
COUNT = 20
READ = "500"
"""Of each question and span of time."""
SPANS = (timedelta(minutes=2), timedelta(hours=2), timedelta(days=8))
QUESTIONS = 3
"""Patterns that are asked for by name; of more, everything is read, and streams by name."""


async def recent(visit: Visit, patterns: Sequence[str]) -> Sequence[Entry]:
    """Return the last events of the types that *patterns* select, newest first.

    The journal is read forward from a moment: from ever further back, until there are enough.
    """
    wanted = {type_ for pattern in patterns for type_ in selected(pattern)}
    asked = list(patterns)
    if len(asked) > QUESTIONS:
        asked = ["*", *filter(catalogue.is_stream, wanted)]
    found: dict[tuple[object, ...], Entry] = {}
    for span in SPANS if wanted else ():
        time = rfc3339(visit.now - span)
        pages = await asyncio.gather(*(since(visit, time, type=each) for each in asked))
        entries = [each for page in pages for each in page if each["type"] in wanted]
        found |= {(each["topic"], each["partition"], each["offset"]): each for each in entries}
        if len(found) >= COUNT:
            break
    return sorted(found.values(), key=lambda each: str(each["produced_at"]), reverse=True)[:COUNT]


async def since(visit: Visit, time: str, **query: str) -> Sequence[Entry]:
    """Return one page of the journal from a time on."""
    asked = visit.scoped({"time": time, "limit": READ, **query})
    found = await visit.ask("GET /v1/events", query=asked)
    return list(found["data"])
