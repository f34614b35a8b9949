"""The map: where vehicles are and were last acknowledged; geofences; a route's day on its line.

All of it is read from the journal, within bounds: the page says where it had to stop.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web

from services import catalogue
from services.dashboard.maps import Frame, Place, rings_of
from services.dashboard.spots import spots
from services.dashboard.tiles import tiles_of
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import FaultsError

POSITION = "vehicle.position"
TOPIC = catalogue.event_types()[POSITION].topic
"""Where positions usually are; where there are none, they are looked for among all events."""
SPANS = {
    "120": timedelta(minutes=2),
    "1800": timedelta(minutes=30),
    "43200": timedelta(hours=12),
}
"""By their seconds, as `span` in the address; without it the shortest that has positions is shown."""
LATE = timedelta(minutes=30)
"""Before the oldest position that is shown: what was acknowledged since is looked for."""
DAY = timedelta(hours=24)
PAGES, READ = 4, "500"
DELIVERIES = "200"
FENCES = "200"
LETTERS = 4
"""Of a vehicle's id, its last ones, are its name on the map."""


class Positions(NamedTuple):
    """What was read of the log, oldest first."""

    entries: Sequence[Mapping[str, Any]]
    ended: bool
    """Whether that is all; else there was too much."""
    since: datetime
    span: timedelta


class Vehicle(NamedTuple):
    """One vehicle, last known and last acknowledged."""

    id: str
    last: Mapping[str, Any]
    acknowledged: Mapping[str, Any] | None
    """None: not within what was read."""
    acknowledged_at: str | None

    @property
    def behind(self) -> float | None:
        """Seconds that the receiver's picture is older than ours."""
        if self.acknowledged is None:
            return None
        newest, known = (
            datetime.fromisoformat(each["produced_at"]) for each in (self.last, self.acknowledged)
        )
        return max(0.0, (newest - known).total_seconds())


class Mark(NamedTuple):
    """A delivery, drawn where the vehicle was when it was last tried."""

    delivery: Mapping[str, Any]
    at: tuple[float, float] | None


async def index(visit: Visit) -> web.StreamResponse:
    """Show all vehicles, or one route's day."""
    if "route" in visit.query:
        return await _route(visit, visit.query["route"])
    positions, fences = await asyncio.gather(_latest(visit), _fences(visit))
    acknowledged = await _acknowledged(visit, since=positions.since - LATE)
    vehicles = vehicles_of(positions.entries, acknowledged)
    shown = [place_of(each.last) for each in vehicles]
    shown += [place_of(each.acknowledged) for each in vehicles if each.acknowledged]
    frame = _frame(shown, fences)
    drawn = [] if frame is None else [frame.at(place_of(each.last)) for each in vehicles]
    return visit.render(
        "map.html", vehicles=vehicles, positions=positions, fences=fences, frame=frame,
        spots=spots(drawn, letters=LETTERS), place_of=place_of, rings_of=rings_of,
        tiles=tiles_of(frame, visit.tiles), spans=SPANS,
    )  # fmt: skip


async def _route(visit: Visit, id_: str) -> web.StreamResponse:
    asked = visit.scoped({"route_id": id_, "limit": DELIVERIES})
    moved = visit.scoped({"route_id": id_, "type": POSITION, "limit": "1"})
    found, newest, fences, webhooks = await asyncio.gather(
        visit.ask("GET /v1/deliveries", query=asked),
        visit.ask("GET /v1/deliveries", query=moved),
        _fences(visit),
        known_webhooks(visit),
    )
    vehicle = newest["data"][0]["key"] if newest["data"] else None
    positions = Positions((), ended=True, since=visit.now - DAY, span=DAY)
    if vehicle is not None:
        read = await _usual(visit, DAY, key=vehicle)
        if not read.entries:
            read = await _read(visit, DAY, key=vehicle)
        mine = [each for each in read.entries if each["event"]["data"].get("route_id") == id_]
        positions = read._replace(entries=mine)
    line = [place_of(each) for each in positions.entries]
    frame = _frame(line, fences if line else ())
    deliveries = [each for each in found["data"] if each["type"] != POSITION]
    marks = [Mark(each, _at(frame, each, positions.entries)) for each in deliveries]
    return visit.render(
        "map_route.html", route=id_, vehicle=vehicle, positions=positions, line=line, marks=marks,
        frame=frame, fences=fences, rings_of=rings_of, tiles=tiles_of(frame, visit.tiles),
        webhooks=webhooks,
    )  # fmt: skip


def vehicles_of(
    entries: Sequence[Mapping[str, Any]], acknowledged: Sequence[Mapping[str, Any]]
) -> list[Vehicle]:
    """Return each vehicle's newest position and the newest that a receiver took, by id."""
    by_id = {each["id"]: each for each in entries}
    last = {each["key"]: each for each in sorted(entries, key=lambda each: each["produced_at"])}
    taken: dict[str, Mapping[str, Any]] = {}
    at: dict[str, str] = {}
    for delivery in acknowledged:  # newest first
        at.setdefault(delivery["key"], delivery["attempted_at"])
        if delivery["event_id"] in by_id:
            taken.setdefault(delivery["key"], by_id[delivery["event_id"]])
    return [Vehicle(id_, last[id_], taken.get(id_), at.get(id_)) for id_ in sorted(last)]


def place_of(entry: Mapping[str, Any]) -> Place:
    """Return where a position is."""
    position = entry["event"]["data"]["position"]
    return position["lat"], position["lng"]


async def _latest(visit: Visit) -> Positions:
    """Return the positions of the span that is asked for, or of the shortest that has some."""
    chosen = SPANS.get(visit.query.get("span", ""))
    found = Positions((), ended=True, since=visit.now, span=DAY)
    for read in (_usual, _read):
        for span in SPANS.values() if chosen is None else (chosen,):
            found = await read(visit, span)
            if found.entries:
                return found
    return found


async def _usual(visit: Visit, span: timedelta, **query: str) -> Positions:
    """Return those of the topic where they usually are; none where there is no such topic."""
    try:
        return await _read(visit, span, topic=TOPIC, **query)
    except FaultsError:
        return Positions((), ended=True, since=visit.now - span, span=span)


async def _read(visit: Visit, span: timedelta, **query: str) -> Positions:
    """Return the positions of the last *span*, a few pages at most."""
    since = visit.now - span
    asked = visit.scoped({"type": POSITION, "limit": READ, **query})
    entries: list[Mapping[str, Any]] = []
    where = {"time": rfc3339(since)}
    for _ in range(PAGES):
        page = await visit.ask("GET /v1/events", query={**asked, **where})
        entries += page["data"]
        if page["next"] is None:
            return Positions(entries, ended=True, since=since, span=span)
        where = {"after": page["next"]}
    return Positions(entries, ended=False, since=since, span=span)


async def _acknowledged(visit: Visit, *, since: datetime) -> Sequence[Mapping[str, Any]]:
    """Return what receivers took lately: where nobody wants positions, a month would be read."""
    asked = {"type": POSITION, "state": "acknowledged", "limit": READ, "from": rfc3339(since)}
    query = visit.scoped(asked)
    return list((await visit.ask("GET /v1/deliveries", query=query))["data"])


async def _fences(visit: Visit) -> Sequence[Mapping[str, Any]]:
    query = visit.scoped({"limit": FENCES})
    found = await visit.ask("GET /v1/geofences", query=query)
    return [each for each in found["data"] if each["enabled"]]


def _frame(places: Sequence[Place], fences: Sequence[Mapping[str, Any]]) -> Frame | None:
    """Return what holds all of it; None where there is nothing."""
    corners = [place for fence in fences for ring in rings_of(fence) for place in ring]
    return Frame([*places, *corners]) if places or corners else None


def _at(
    frame: Frame | None, delivery: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]
) -> tuple[float, float] | None:
    if frame is None or not entries:
        return None
    tried = datetime.fromisoformat(delivery["attempted_at"])
    nearest = min(
        entries, key=lambda each: abs(datetime.fromisoformat(each["produced_at"]) - tried)
    )
    return frame.at(place_of(nearest))
