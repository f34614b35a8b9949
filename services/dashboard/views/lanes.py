"""For operators: who is behind, who owns which partition, and how near to the edge of the log."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiohttp import web

from services.dashboard.visit import Visit
from services.kernel.errors import NotFoundError

ROWS = "50"
FILTERS = ("subscription", "cursor")


class Row(NamedTuple):
    """A lane, with its webhook."""

    lane: Mapping[str, Any]
    webhook: Mapping[str, Any] | None
    """None: deleted a moment ago."""


async def index(visit: Visit) -> web.StreamResponse:
    """Show partitions and lanes, as they are now."""
    query = {name: text for name, text in visit.query.items() if name in FILTERS}
    lanes, partitions = await asyncio.gather(
        visit.ask("GET /v1/lanes", query={"limit": ROWS, **query}),
        visit.ask("GET /v1/partitions"),
    )
    return visit.render(
        "lanes.html",
        rows=await _with_webhooks(visit, lanes["data"]),
        next=lanes["next"],
        partitions=partitions["data"],
        owners=sorted({each["owner"] for each in partitions["data"] if each["owner"]}),
        lag=sum(each["lag"] for each in partitions["data"]),
        least=_least(partitions["data"], lanes["data"]),
        behind=sum(each["lanes"] for each in partitions["data"]),
    )


async def _with_webhooks(visit: Visit, lanes: Sequence[Mapping[str, Any]]) -> list[Row]:
    ids = list(dict.fromkeys(lane["subscription_id"] for lane in lanes))
    found = dict(
        zip(ids, await asyncio.gather(*(_webhook(visit, id_) for id_ in ids)), strict=True)
    )
    return [Row(lane, found[lane["subscription_id"]]) for lane in lanes]


async def _webhook(visit: Visit, id_: str) -> Mapping[str, Any] | None:
    try:
        webhook: Mapping[str, Any] = await visit.ask("GET /v1/subscriptions/{id}", id=id_)
    except NotFoundError:
        return None
    return webhook


def _least(*lists: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the shortest headroom of all."""
    known = [each["headroom_seconds"] for rows in lists for each in rows if each["lag"]]
    return min((seconds for seconds in known if seconds is not None), default=None)
