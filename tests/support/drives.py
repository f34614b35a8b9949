"""Drives by chance past a few zones: with jitter, dropped signals, late and future points."""

import random
from collections.abc import Iterator

from services.kernel.clock import rfc3339_ms
from services.kernel.event import Json
from services.match.fences import Fence, Fences
from services.match.geometry import Circle
from tests.support.factories import PROJECT

START_MS = 1_773_740_000_000
ZONES = [
    Fence("5e208446c97efa37d4830b09", Circle(41.40, 2.17, 400.0), version=2, label="Old town"),
    Fence("5e208446c97efa37d4830b0a", Circle(41.41, 2.18, 900.0), version=1, label="Harbour"),
]


def zones() -> Fences:
    return Fences(ZONES)


def a_position(
    number: int,
    lat: float,
    lng: float,
    *,
    at_ms: int | None = None,
    vehicle: str = "5e208446c97efa37d4830b05",
    **position: object,
) -> Json:
    """Return a `vehicle.position`; five seconds after the one before where no time is given."""
    at = START_MS + 5_000 * number if at_ms is None else at_ms
    return {
        "id": f"{number:024x}",
        "type": "vehicle.position",
        "created_at": rfc3339_ms(at),
        "project_id": PROJECT,
        "data": {
            "vehicle_id": vehicle,
            "position": {"lat": lat, "lng": lng, "created_at": rfc3339_ms(at), **position},
        },
    }


def a_drive(chance: random.Random, positions: int) -> Iterator[tuple[Json, int]]:
    """Yield positions, each with when Kafka took it in; some are worth nothing."""
    vehicles = [f"{n:024x}" for n in range(1, 4)]
    places = {vehicle: [41.39, 2.16] for vehicle in vehicles}
    for number in range(1, positions + 1):
        vehicle = chance.choice(vehicles)
        place = places[vehicle]
        place[0] = min(41.43, max(41.38, place[0] + chance.gauss(0, 0.003)))
        place[1] = min(2.20, max(2.15, place[1] + chance.gauss(0, 0.003)))
        taken_ms = at_ms = START_MS + 5_000 * number
        kind = chance.random()
        extra: Json = {"accuracy": 5}
        if kind < 0.1:
            at_ms -= 60_000  # from the phone's memory
        elif kind < 0.15:
            at_ms += 3_600_000  # its clock is wrong
        elif kind < 0.3:
            extra = {"accuracy": 800}  # in a tunnel
        lat, lng = (each + chance.gauss(0, 0.00002) for each in place)
        yield a_position(number, lat, lng, at_ms=at_ms, vehicle=vehicle, **extra), taken_ms
