"""The demo's fleet: days of a few vans, as events in the order in which they would happen.

Each event is the catalogue's own example with its ids, names, times and places changed, so the demo
shows what the documentation shows. The same seed gives the same days.
"""

import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import orjson

from services.catalogue import examples
from services.kernel.clock import Clock, rfc3339

PLAN, ROUTE, VEHICLE = (
    "5e208446c97efa37d4830b03",
    "5e208446c97efa37d4830b04",
    "5e208446c97efa37d4830b05",
)
STOP, CUSTOMER, REPORT = (
    "5e208446c97efa37d4830b06",
    "5e208446c97efa37d4830b07",
    "5e208446c97efa37d4830b08",
)
PLANNED = (
    "route.created", "plan.optimized", "route.optimized", "plan.status_changed",
    "route.dispatched", "route.started",
)  # fmt: skip
STOPS = 4
VANS = 50
STEPS = 5
"""Positions between two stops."""
CANCELED = 0.15
SPREAD = 0.03
"""Degrees around the depot in which stops lie: about three kilometres."""
DEPOT = (41.4036, 2.1874)
NAMES = ("Forn Mistral", "Cafe Sirvent", "Llibreria Nou", "Ferreteria Pons", "Flors Pilar")

Event = dict[str, Any]
Ids = dict[str, str]
"""What to write in place of the example's ids, numbers and names."""
Point = tuple[float, float]


class Fleet:
    """Makes events; ids come from the seed."""

    def __init__(self, *, chance: random.Random, clock: Clock) -> None:
        self._chance = chance
        self._clock = clock

    def new_id(self) -> str:
        """Return a fresh id."""
        return f"{self._chance.getrandbits(96):024x}"

    def event(self, type_: str, ids: Ids) -> Event:
        """Return the example of *type_*, happening now to these ids."""
        text = orjson.dumps(examples()[type_])
        for old, new in ids.items():
            text = text.replace(old.encode(), new.encode())
        event: Event = orjson.loads(text)
        del event["project_id"]  # the API key says whose it is
        event["id"] = self.new_id()
        event["created_at"] = rfc3339(self._clock.now())
        return event

    def day(self, number: int) -> Iterator[Event]:
        """Yield one plan of one van, from its creation to its end."""
        van = number % VANS
        plan = {PLAN: self.new_id(), ROUTE: self.new_id(), VEHICLE: f"{van:024x}"}
        plan |= {"Barcelona 17 March": f"Day {number}", "VAN-02": f"VAN-{van:02}"}
        plan |= {"Van 02": f"Van {van:02}"}
        yield self.event("plan.created", plan)
        names = self._chance.sample(NAMES, STOPS)
        stops = [plan | self._stop(name) for name in names]
        for stop in stops:
            yield self.event("customer.created", stop)
            yield self.event("stop.created", stop)
        for type_ in PLANNED:
            yield self.event(type_, plan)
        at = DEPOT
        for stop in stops:
            to = (at[0] + self._near(), at[1] + self._near())
            yield from self._drive(stop, at, to)
            yield from self._visit(stop, to)
            at = to
        yield self.event("route.finished", plan)

    def _stop(self, name: str) -> Ids:
        order = f"{self._chance.randrange(100_000):05}"
        return {STOP: self.new_id(), CUSTOMER: self.new_id(), "58291": order, NAMES[0]: name}

    def _drive(self, ids: Ids, at: Point, to: Point) -> Iterator[Event]:
        for step in range(1, STEPS + 1):
            part = step / STEPS
            here = (at[0] + (to[0] - at[0]) * part, at[1] + (to[1] - at[1]) * part)
            yield self._located("vehicle.position", ids, here)
            if step == STEPS - 1:
                yield self._located("stop.approaching", ids, here)

    def _visit(self, ids: Ids, at: Point) -> Iterator[Event]:
        reported = ids | {REPORT: self.new_id()}
        yield self._located("stop.arrived", ids, at)
        canceled = self._chance.random() < CANCELED
        yield self.event(f"stop.report.{'canceled' if canceled else 'completed'}", reported)
        yield self._located("stop.departed", ids, at)

    def _located(self, type_: str, ids: Ids, at: Point) -> Event:
        event = self.event(type_, ids)
        place = {"lat": round(at[0], 5), "lng": round(at[1], 5), "created_at": event["created_at"]}
        event["data"]["position"] |= place
        return event

    def _near(self) -> float:
        return self._chance.uniform(-SPREAD, SPREAD)


def drive(*, vehicles: int, chance: random.Random, clock: Clock) -> Iterator[Event]:
    """Yield events for ever: *vehicles* days side by side, a new one where one has ended."""
    fleet = Fleet(chance=chance, clock=clock)
    numbers = count(1)
    days = [fleet.day(next(numbers)) for _ in range(vehicles)]
    while True:
        for place, day in enumerate(days):
            event = next(day, None)
            if event is None:
                days[place] = fleet.day(next(numbers))
            else:
                yield event
