"""A delivery day of a small fleet, as the planner and its phones would tell it: the same from a seed.

    morning    a plan, its customers and stops, routes; optimised, assigned, dispatched
    the day    each van along its streets: positions, approaching, arrived, reports with photos, departed
    trouble    one phone is offline for a while, and sends what it kept when it is back, photos later
               still; one stop can't be delivered; one van is late
    evening    routes finish, and the plan with the last of them

Each event is the catalogue's example with its ids, names, times and places changed. `created_at` is when
it happened; when it is *produced* differs for a phone that was offline, and is what they are sorted by.
"""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from datetime import time as time_of_day
from math import atan2, cos, degrees, hypot, radians
from typing import NamedTuple

from services.dev.fleet import (
    CUSTOMER,
    DEPOT,
    NAMES,
    PLAN,
    REPORT,
    ROUTE,
    STOP,
    VEHICLE,
    Event,
    Fleet,
    Ids,
    Point,
)
from services.kernel.clock import rfc3339

STOPS = 16
"""Of each van."""
EVERY_SECONDS = 10
"""Between two positions."""
SPEED_M_S = 8.0
SERVICE_SECONDS = 300
APPROACHING_SECONDS = 300
"""Before a stop: it is told once."""
BLOCK = 0.00125
"""Degrees between two streets, about 130 metres: vans drive along a grid."""
BLOCKS = 12
"""From the depot that stops lie at most."""
OFFLINE_AFTER = timedelta(minutes=40)
OFFLINE = timedelta(minutes=25)
PHOTOS_LATER = timedelta(minutes=40)
METRES = 111_195
"""Of a degree of latitude."""


class Told(NamedTuple):
    """An event, and when it is produced."""

    at: datetime
    number: int
    """Keeps what is produced at once in the order in which it happened."""
    event: Event


class Hand:
    """A clock that stands where it is put: the `Clock` of the fleet."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return where it stands."""
        return self.moment

    def time(self) -> float:
        """Return it as Unix seconds."""
        return self.moment.timestamp()

    def monotonic(self) -> float:
        """Return it as seconds."""
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        """Go on by so much."""
        self.moment += timedelta(seconds=seconds)


class Stop(NamedTuple):
    """Where a van has to go."""

    ids: Ids
    at: Point


class Day:
    """One plan with its vans."""

    def __init__(self, *, vehicles: int, seed: int, day: date, zone: tzinfo) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - a simulation
        self._hand = Hand(datetime.combine(day, time_of_day(7, 30), tzinfo=zone))
        self._fleet = Fleet(chance=self._chance, clock=self._hand)
        self._numbers = iter(range(1 << 60))
        self._plan: Ids = {PLAN: self._fleet.new_id(), "Barcelona 17 March": f"Barcelona {day}"}
        self._vans = [self._van(n) for n in range(vehicles)]
        self._canceled = self._chance.randrange(vehicles), self._chance.randrange(STOPS)
        self._offline = self._chance.randrange(vehicles)
        self._done = {"completed": 0, "canceled": 0}

    def events(self) -> Iterator[Told]:
        """Yield all events of the day in the order in which they are produced."""
        routes = [(ids, self._stops(ids)) for ids in self._vans]
        yield from self._morning(routes)
        began = self._hand.moment
        drives = [self._route(n, ids, stops, began) for n, (ids, stops) in enumerate(routes)]
        last = began
        for told in heapq.merge(*map(_sorted, drives)):
            last = max(last, told.at)
            yield told
        self._hand.moment = last + timedelta(minutes=2)
        yield self._tell(self._progress(len(routes)))
        ended = self._event("plan.status_changed", self._plan)
        ended["data"] |= {"from": "in_progress", "to": "finished"}
        ended["data"]["plan"]["status"] = "finished"
        yield self._tell(ended)

    def _van(self, number: int) -> Ids:
        name = f"{number + 1:02}"
        ids = {ROUTE: self._fleet.new_id(), VEHICLE: self._fleet.new_id()}
        return {**self._plan, **ids, "VAN-02": f"VAN-{name}", "Van 02": f"Van {name}"}

    def _stops(self, van: Ids) -> list[Stop]:
        found = []
        for _ in range(STOPS):
            order = f"{self._chance.randrange(100_000):05}"
            ids = {STOP: self._fleet.new_id(), CUSTOMER: self._fleet.new_id(), "58291": order}
            ids |= {REPORT: self._fleet.new_id(), NAMES[0]: self._chance.choice(NAMES)}
            east, north = (self._chance.randint(-BLOCKS, BLOCKS) * BLOCK for _ in range(2))
            found.append(Stop({**van, **ids}, (DEPOT[0] + north, DEPOT[1] + east)))
        return found

    def _morning(self, routes: list[tuple[Ids, list[Stop]]]) -> Iterator[Told]:
        yield self._tell(self._event("plan.created", self._plan))
        for _, stops in routes:
            for stop in stops:
                for type_ in ("customer.created", "stop.created"):
                    yield self._tell(_placed(self._event(type_, stop.ids), stop.at))
        for van, _ in routes:
            yield self._tell(self._event("route.created", van))
        self._hand.moment += timedelta(minutes=2)
        optimized = self._event("plan.optimized", self._plan)
        optimized["data"]["unassigned_stops"] = []
        yield self._tell(optimized)
        for van, stops in routes:
            yield self._tell(self._event("route.optimized", van))
            for stop in stops:
                assigned = _placed(self._event("stop.assigned", stop.ids), stop.at)
                yield self._tell(assigned)
        self._hand.moment += timedelta(minutes=20)
        yield self._tell(self._event("plan.status_changed", self._plan))
        for van, _ in routes:
            yield self._tell(self._event("route.dispatched", van))

    def _route(self, number: int, van: Ids, stops: list[Stop], began: datetime) -> Iterator[Told]:
        """Yield what one van does. Its phone may be offline: what it says then comes later."""
        now = began + timedelta(minutes=5 + 3 * number)
        lost = now + OFFLINE_AFTER if number == self._offline else None
        found = lost + OFFLINE if lost else None
        said: list[Told] = []
        at, is_gone, is_back = DEPOT, False, False
        for event, moment in self._drive(number, van, stops, now):
            away = lost is not None and found is not None and lost <= moment < found
            if lost is not None and found is not None:
                if moment >= lost and not is_gone:
                    is_gone = True
                    said.append(self._told(lost + timedelta(minutes=5), "vehicle.offline", van, at))
                if moment >= found and not is_back:
                    is_back = True
                    said.append(self._told(found, "vehicle.online", van, at))
            if away and found is not None:
                event["meta"] = {
                    **event.get("meta", {}), "late": True, "received_at": rfc3339(found)
                }  # fmt: skip
                said += self._without_photos(event, van, found)
            else:
                said.append(Told(moment, next(self._numbers), event))
            position = event["data"].get("position")
            if position is not None:
                at = position["lat"], position["lng"]
        yield from said

    def _drive(
        self, number: int, van: Ids, stops: list[Stop], now: datetime
    ) -> Iterator[tuple[Event, datetime]]:
        yield self._at(now, "route.started", van), now
        at, seq = DEPOT, 0
        for n, stop in enumerate(stops):
            way = list(_along(at, stop.at))
            arrives = now + timedelta(seconds=EVERY_SECONDS * len(way))
            told = False
            for place, heading in way:
                now += timedelta(seconds=EVERY_SECONDS)
                seq += 1
                more = {"orientation": heading, "speed": SPEED_M_S, "seq": seq}
                yield self._located(now, "vehicle.position", van, place, **more), now
                if not told and (arrives - now).total_seconds() <= APPROACHING_SECONDS:
                    told = True
                    near = self._located(now, "stop.approaching", stop.ids, place, **more)
                    near["data"]["estimated_arrival_time"] = rfc3339(arrives)
                    near["data"]["distance"] = round(_metres(place, stop.at))
                    yield near, now
            yield from self._visit(stop, now, canceled=(number, n) == self._canceled)
            now += timedelta(seconds=SERVICE_SECONDS)
            at = stop.at
        for place, heading in _along(at, DEPOT):
            now += timedelta(seconds=EVERY_SECONDS)
            seq += 1
            more = {"orientation": heading, "speed": SPEED_M_S, "seq": seq}
            yield self._located(now, "vehicle.position", van, place, **more), now
        yield self._at(now, "route.finished", van), now

    def _visit(
        self, stop: Stop, now: datetime, *, canceled: bool
    ) -> Iterator[tuple[Event, datetime]]:
        arrived = self._located(now, "stop.arrived", stop.ids, stop.at)
        arrived["data"]["arrived_at"] = rfc3339(now)
        yield arrived, now
        reported = now + timedelta(seconds=SERVICE_SECONDS * 4 // 5)
        how = "canceled" if canceled else "completed"
        self._done[how] += 1
        report = _placed(self._at(reported, f"stop.report.{how}", stop.ids), stop.at)
        report["data"]["report"]["created_at"] = rfc3339(reported)
        yield report, reported
        leaves = now + timedelta(seconds=SERVICE_SECONDS)
        departed = self._located(leaves, "stop.departed", stop.ids, stop.at)
        times = {"arrived_at": rfc3339(now), "departed_at": rfc3339(leaves)}
        departed["data"] |= {**times, "dwell_seconds": SERVICE_SECONDS}
        yield departed, leaves

    def _without_photos(self, event: Event, van: Ids, found: datetime) -> Iterator[Told]:
        """Yield what the phone sends when it is back; the photos of a report come later still."""
        report = event["data"].get("report")
        images = report.pop("images", None) if isinstance(report, dict) else None
        yield Told(found, next(self._numbers), event)
        if isinstance(report, dict) and images:
            later = found + PHOTOS_LATER
            media = self._at(later, "stop.report.media_added", van)
            ids = {"report_id": report["id"], "stop_id": report["stop_id"], "images": images}
            media["data"] |= ids
            yield Told(later, next(self._numbers), media)

    def _event(self, type_: str, ids: Ids) -> Event:
        """Return an example, as it is told in time."""
        event = self._fleet.event(type_, ids)
        for name in ("late", "received_at"):
            event.get("meta", {}).pop(name, None)
        return event

    def _told(self, moment: datetime, type_: str, van: Ids, at: Point) -> Told:
        event = self._located(moment, type_, van, at)
        return Told(moment, next(self._numbers), event)

    def _tell(self, event: Event) -> Told:
        return Told(self._hand.moment, next(self._numbers), event)

    def _at(self, moment: datetime, type_: str, ids: Ids) -> Event:
        before, self._hand.moment = self._hand.moment, moment
        event = self._event(type_, ids)
        self._hand.moment = before
        return event

    def _located(
        self, moment: datetime, type_: str, ids: Ids, at: Point, **position: object
    ) -> Event:
        event = self._at(moment, type_, ids)
        place = {"lat": round(at[0], 6), "lng": round(at[1], 6), "created_at": rfc3339(moment)}
        event["data"]["position"] |= {**place, **position}
        return event

    def _progress(self, routes: int) -> Event:
        event = self._event("plan.progress", self._plan)
        total = routes * STOPS
        event["data"] |= {
            "total_stops": total,
            "completed_stops": self._done["completed"],
            "canceled_stops": self._done["canceled"],
            "incomplete_stops": 0,
            "pending_stops": total - sum(self._done.values()),
            "total_routes": routes,
            "routes_started": routes,
            "routes_finished": routes,
        }
        return event


def _sorted(told: Iterator[Told]) -> list[Told]:
    return sorted(told, key=lambda each: each[:2])


def _placed(event: Event, at: Point) -> Event:
    """Have the stop or customer of an event be where it is in this day."""
    data = event["data"]
    for holder in (data, data.get("stop")):
        if isinstance(holder, dict) and isinstance(holder.get("location"), dict):
            holder["location"] |= {"lat": round(at[0], 6), "lng": round(at[1], 6)}
    return event


def _along(at: Point, to: Point) -> Iterator[tuple[Point, int]]:
    """Yield where a van is every few seconds, and where it heads: along one street, then another."""
    corner = at[0], to[1]
    step = SPEED_M_S * EVERY_SECONDS
    for begin, end in ((at, corner), (corner, to)):
        length = _metres(begin, end)
        heading = round(degrees(atan2(end[1] - begin[1], end[0] - begin[0]))) % 360
        for n in range(1, int(length // step) + 1):
            part = n * step / length
            yield (
                (begin[0] + (end[0] - begin[0]) * part, begin[1] + (end[1] - begin[1]) * part),
                heading,
            )
    yield to, 0


def _metres(one: Point, other: Point) -> float:
    wide = cos(radians(one[0]))
    return METRES * hypot(other[0] - one[0], (other[1] - one[1]) * wide)


def of_one_van(seed: int, day: date) -> list[Event]:
    """Return the events of a day of one van, from a seed, in the order in which they are produced."""
    whole = Day(vehicles=1, seed=seed, day=day, zone=UTC)
    return [told.event for told in whole.events()]
