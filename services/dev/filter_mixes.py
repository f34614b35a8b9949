"""Filters and events as big customers have them: by chance, from a seed."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from services.kernel.event import Json

PROJECT = "5e208446c97efa37d4830b01"
SOURCES = ("driver_app", "device", "api")
MOMENT = "2026-03-17T09:41:05.000Z"
SKILLS = ("cold", "fragile", "tail-lift", "adr", "two-people", "keys")
COUNTRIES = ("ES", "PT", "FR", "IT", "DE")


class Mix(NamedTuple):
    """What is matched against what; about 1.5 % match."""

    type: str
    a_filter: Callable[[random.Random], Json]
    an_event: Callable[[random.Random, int, str], Json]


def an_id(number: int) -> str:
    """Return an id of 24 hex digits."""
    return f"{number:024x}"


VEHICLES = [an_id(0x5E20_0000 + n) for n in range(500)]
PLANS = [an_id(0x5E30_0000 + n) for n in range(20)]
CLIENTS = [an_id(0x5E40_0000 + n) for n in range(300)]


def a_position_filter(chance: random.Random) -> Json:  # noqa: PLR0911 - one share each
    """Return a filter of `vehicle.position`."""
    if chance.random() < 0.28:  # noqa: PLR2004 - shares of the mix
        return _data(vehicle_id=chance.sample(VEHICLES, chance.choice((1, 1, 2, 5))))
    if chance.random() < 0.083:  # noqa: PLR2004
        return _data(route_id=[{"prefix": _route(chance)[:14]}])
    plan = [chance.choice(PLANS)]
    match chance.choices(range(8), (15, 12, 8, 4, 6, 8, 7, 6))[0]:
        case 0:
            return _at(plan, source=chance.sample(SOURCES, chance.choice((1, 2))))
        case 1:
            return _at(plan, speed=[{"numeric": [">", chance.choice((5, 10, 15, 20, 25, 30))]}])
        case 2:
            return _at(plan, battery=[{"numeric": ["<", chance.choice((10, 20, 30, 40))]}])
        case 3:
            star = f"*{chance.randrange(16):x}*{chance.randrange(16):x}"
            return _data(plan_id=plan, vehicle_id=[{"wildcard": star}])
        case 4:
            fast = {"data": {"position": {"speed": [{"numeric": [">", 25]}]}}}
            still = {"data": {"conflated": [0], "position": {"source": [chance.choice(SOURCES)]}}}
            return {**_data(plan_id=plan), "$or": [fast, still]}
        case 5:
            return _at(plan, source=[{"anything-but": chance.choice(SOURCES)}])
        case 6:
            return _data(plan_id=plan, conflated=[{"numeric": [">=", chance.randint(1, 5)]}])
        case _:
            near = {"accuracy": [{"numeric": ["<=", 20]}]}
            return _data(plan_id=plan, route_id=[{"exists": True}], position=near)


def a_position(chance: random.Random, number: int, project: str = PROJECT) -> Json:
    """Return an event of `vehicle.position`."""
    return _event(
        "vehicle.position",
        number,
        project,
        vehicle_id=chance.choice(VEHICLES),
        route_id=_route(chance),
        plan_id=chance.choice(PLANS),
        conflated=chance.choice((0, 0, 1, 2, 5)),
        position={
            "lat": round(41.4 + chance.gauss(0, 0.1), 5),
            "lng": round(2.17 + chance.gauss(0, 0.1), 5),
            "created_at": MOMENT,
            "speed": round(chance.uniform(0, 35), 1),
            "accuracy": chance.randrange(50),
            "battery": chance.randrange(100),
            "source": chance.choice(SOURCES),
            "seq": number,
        },
    )


def a_report_filter(chance: random.Random) -> Json:  # noqa: PLR0911 - one share each
    """Return a filter of `stop.report.completed`."""
    match chance.choices(range(9), (26, 10, 8, 8, 12, 10, 10, 8, 8))[0]:
        case 0:
            clients = chance.sample(CLIENTS, chance.choice((1, 1, 2, 5)))
            return _data(stop={"client_id": clients})
        case 1:
            barcode = [{"prefix": f"84123{chance.randrange(100):02}"}]
            return _data(stop={"tasks": {"status": ["completed"], "barcode": barcode}})
        case 2:
            code = [f"{chance.randrange(100):05}"]
            country = [chance.choice(COUNTRIES)]
            return _data(stop={"location": {"country_code": country, "postal_code": code}})
        case 3:
            return _data(stop={"external_id": [{"prefix": f"ORD-{chance.randrange(100):02}"}]})
        case 4:
            status = [chance.choice(("completed", "incomplete", "canceled"))]
            return _stop(chance, status=status)
        case 5:
            return {"data": {"report": {"tasks": {"status": ["canceled"]}}, **_plan(chance)}}
        case 6:
            weight = [{"numeric": [">=", chance.choice((5, 10, 20, 40))]}]
            return _stop(chance, weight=weight)
        case 7:
            return _stop(chance, requires=chance.sample(SKILLS, 2))
        case _:
            custom = {"custom_fields": {"channel": [chance.choice(("web", "phone", "shop"))]}}
            return _stop(chance, type=[chance.choice(("pickup", "delivery"))], **custom)


def a_report(chance: random.Random, number: int, project: str = PROJECT) -> Json:
    """Return an event of `stop.report.completed`, of three tasks."""
    plan, stop = chance.choice(PLANS), an_id(number)
    states = [chance.choice(("completed", "completed", "canceled")) for _ in range(3)]
    tasks = [
        {
            "id": an_id(n),
            "stop_id": stop,
            "status": state,
            "barcode": f"84123{chance.randrange(10**8):08}",
        }
        for n, state in enumerate(states)
    ]
    return _event(
        "stop.report.completed",
        number,
        project,
        report={
            "id": an_id(number + 1),
            "stop_id": stop,
            "project_id": project,
            "plan_id": plan,
            "type": "service_report_completed",
            "created_at": MOMENT,
            "tasks": [
                {"task_id": an_id(n), "status": state, "custom_fields": {}}
                for n, state in enumerate(states)
            ],
        },
        stop={
            "id": stop,
            "project_id": project,
            "plan_id": plan,
            "client_id": chance.choice(CLIENTS),
            "external_id": f"ORD-{chance.randrange(10**6):06}",
            "type": chance.choice(("pickup", "delivery")),
            "status": "completed",
            "location": {
                "country_code": chance.choice(COUNTRIES),
                "postal_code": f"{chance.randrange(100):05}",
                "lat": 41.4,
                "lng": 2.17,
            },
            "weight": round(chance.uniform(0, 50), 1),
            "requires": chance.sample(SKILLS, 1),
            "custom_fields": {"channel": chance.choice(("web", "phone", "shop"))},
            "tasks": tasks,
        },
    )


POSITIONS = Mix("vehicle.position", a_position_filter, a_position)
REPORTS = Mix("stop.report.completed", a_report_filter, a_report)


def hostile_filters() -> dict[str, Json]:
    """Return filters within all limits that are as dear to a position as can be."""
    plan = {"plan_id": PLANS}
    teeth = [[1 + n / 100, 41 + n % 2] for n in range(253)]
    ring = [*teeth, [4, 43], [0, 43], teeth[0]]
    area = {"polygon": {"type": "Polygon", "coordinates": [ring]}}
    stars = [{"wildcard": f"*{n}*{n}*"} for n in range(8)]
    prefixes = [{"prefix": "5" * n} for n in range(1, 150)]
    branches = [{"data": {"position": {"speed": [{"numeric": [">", 40 + n]}]}}} for n in range(16)]
    ranges = [{"numeric": [">=", 1000 + 2 * n, "<", 1001 + 2 * n]} for n in range(256)]
    return {
        "wildcards": _data(**plan, vehicle_id=stars),
        "prefixes": _data(**plan, route_id=prefixes),
        "branches": {**_data(**plan), "$or": branches},
        "ranges": _data(**plan, position={"speed": ranges}),
        "polygons": _data(**plan, position=[{"geo-within": area}]),
        "values": _data(vehicle_id=[an_id(n) for n in range(256)]),
    }


def _event(type_: str, number: int, project: str, **data: Any) -> Json:  # noqa: ANN401 - JSON
    return {
        "id": an_id(number),
        "type": type_,
        "created_at": MOMENT,
        "project_id": project,
        "organization_id": an_id(4),
        "user": an_id(3),
        "meta": {"entity_version": 3, "origin": "driver_app"},
        "data": data,
    }


def _data(**fields: Any) -> Json:  # noqa: ANN401 - JSON
    return {"data": fields}


def _at(plan: list[str], **position: Any) -> Json:  # noqa: ANN401 - JSON
    return _data(plan_id=plan, position=position)


def _plan(chance: random.Random) -> Json:
    return {"stop": {"plan_id": [chance.choice(PLANS)]}}


def _stop(chance: random.Random, **fields: Any) -> Json:  # noqa: ANN401 - JSON
    return _data(stop={**_plan(chance)["stop"], **fields})


def _route(chance: random.Random) -> str:
    return f"{chance.randrange(256):02x}" * 7 + f"{chance.randrange(1 << 40):010x}"
