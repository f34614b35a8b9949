"""The map: where vehicles are and were last acknowledged; geofences; a route's day on its line.

All of it is read from the journal, within bounds: the page says where it had to stop, and of a route's
day leads on from there.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from aiohttp import web

from services import catalogue
from services.control.checks import parse_moment
from services.dashboard.maps import Frame, Place, rings_of
from services.dashboard.spots import spots
from services.dashboard.tiles import tiles_of
from services.dashboard.views.webhooks import known_webhooks
from services.dashboard.visit import Visit
from services.kernel.clock import rfc3339
from services.kernel.errors import FaultsError, NotFoundError

POSITION, STARTED = "vehicle.position", "route.started"
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
EARLY = timedelta(minutes=10)
"""Before a route is said to have started: from when on its way is shown."""
PAGES, READ = 4, "500"
DELIVERIES = "200"
FENCES = "200"
LETTERS = 4
"""Of a vehicle's id, its last ones, are its name on the map."""


class Positions(NamedTuple):
    """What was read of the log, oldest first."""

    entries: Sequence[Mapping[str, Any]]
    cursor: str | None
    """Behind which there is more, too much for one page; None: that is all."""
    since: datetime
    span: timedelta

    @property
    def until(self) -> datetime:
        """The moment of the newest of them."""
        return _produced(self.entries[-1]) if self.entries else self.since


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
    """None: nothing is drawn of that time."""


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
    newest_of = visit.scoped({"route_id": id_, "limit": "1"})
    found, newest, started, fences, webhooks = await asyncio.gather(
        visit.ask("GET /v1/deliveries", query=asked),
        visit.ask("GET /v1/deliveries", query={**newest_of, "type": POSITION}),
        visit.ask("GET /v1/deliveries", query={**newest_of, "type": STARTED}),
        _fences(visit),
        known_webhooks(visit),
    )
    vehicle = newest["data"][0]["key"] if newest["data"] else None
    since = await _begins(visit, started["data"])
    positions = Positions((), cursor=None, since=since, span=DAY)
    if vehicle is not None:
        positions = await _way(visit, since, {"key": vehicle, "route_id": id_})
    line = [place_of(each) for each in positions.entries]
    frame = _frame(line, fences if line else ())
    deliveries = [each for each in found["data"] if each["type"] != POSITION]
    is_part = positions.cursor is not None or "from" in visit.query
    places = places_at(
        positions.entries, [each["attempted_at"] for each in deliveries], is_part=is_part
    )
    marks = [
        Mark(each, frame.at(place) if frame and place else None)
        for each, place in zip(deliveries, places, strict=True)
    ]
    return visit.render(
        "map_route.html", route=id_, vehicle=vehicle, positions=positions, line=line, marks=marks,
        frame=frame, fences=fences, rings_of=rings_of, tiles=tiles_of(frame, visit.tiles),
        webhooks=webhooks, is_part=is_part, is_crowded=len(found["data"]) == int(DELIVERIES),
        since=rfc3339(positions.since), until=rfc3339(positions.until),
    )  # fmt: skip


async def _begins(visit: Visit, started: Sequence[Mapping[str, Any]]) -> datetime:
    """Return from when on a route's way is shown: as asked, from its start, or of a day.

    *started*: a delivery of its start; when that was is in the log, since deliveries are repeated.
    """
    asked = parse_moment(visit.query.get("from"))
    day = visit.now - DAY
    if asked is not None or not started:
        return asked or day
    topic, partition, offset = (str(started[0][name]) for name in ("topic", "partition", "offset"))
    route = "GET /v1/events/{topic}/{partition}/{offset}"
    try:
        entry = await visit.ask(route, topic=topic, partition=partition, offset=offset)
    except NotFoundError:
        return day  # longer ago than the log reaches
    return max(day, _produced(entry) - EARLY)


def places_at(
    entries: Sequence[Mapping[str, Any]], moments: Sequence[str], *, is_part: bool
) -> list[Place | None]:
    """Return where the vehicle was at each of *moments*: at its position nearest in time.

    None where nothing is known; of a *part* of its way, where it was on another.
    """
    times = [_produced(each) for each in entries]
    found: list[Place | None] = []
    for moment in map(datetime.fromisoformat, moments):
        n = bisect_left(times, moment)
        if not times or (is_part and not times[0] <= moment <= times[-1]):
            found.append(None)
            continue
        around = [k for k in (n - 1, n) if 0 <= k < len(times)]
        found.append(place_of(entries[min(around, key=lambda k: abs(times[k] - moment))]))
    return found


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
    spans = tuple(SPANS.values()) if chosen is None else (chosen,)
    found = None
    for read in (_usual, _read):
        for span in spans:
            found = await read(visit, visit.now - span, {}, span=span)
            if found is not None and found.entries:
                return found
    return found or Positions((), cursor=None, since=visit.now, span=spans[-1])


async def _way(visit: Visit, since: datetime, query: Mapping[str, str]) -> Positions:
    """Return a vehicle's way: the part behind the cursor that is asked for, or from *since* on.

    By a cursor, since a producer may send late what it kept while it had no connection: by time, a part
    would begin with what another has shown. Raises FaultsError: the cursor is of something else.
    """
    cursor = visit.query.get("cursor")
    usual = await _usual(visit, since, query, cursor=cursor)
    if usual is not None and (usual.entries or usual.cursor or cursor):
        return usual
    return await _read(visit, since, query, cursor=cursor)


async def _usual(
    visit: Visit,
    since: datetime,
    query: Mapping[str, str],
    *,
    span: timedelta = DAY,
    cursor: str | None = None,
) -> Positions | None:
    """Return those of the topic where they usually are; None: no such topic, or not its cursor."""
    try:
        return await _read(visit, since, {**query, "topic": TOPIC}, span=span, cursor=cursor)
    except FaultsError:
        return None


async def _read(
    visit: Visit,
    since: datetime,
    query: Mapping[str, str],
    *,
    span: timedelta = DAY,
    cursor: str | None = None,
) -> Positions:
    """Return the positions behind *cursor*, or else *since* a moment; a few pages at most."""
    asked = visit.scoped({"type": POSITION, "limit": READ, **query})
    where = {"time": rfc3339(since)} if cursor is None else {"after": cursor}
    entries: list[Mapping[str, Any]] = []
    for _ in range(PAGES):
        page = await visit.ask("GET /v1/events", query={**asked, **where})
        entries += page["data"]
        cursor = page["next"]
        if cursor is None:
            break
        where = {"after": cursor}
    return Positions(sorted(entries, key=_produced), cursor=cursor, since=since, span=span)


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


def _produced(entry: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(entry["produced_at"])
