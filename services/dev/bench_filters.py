"""`bench filters`: what filters cost an event, a build and memory, beside what they may cost.

In CPU time of this process, the mean of one pass over different events, the best of a few passes.
"""

import gc
import json
import random
import time
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from services.dev.filter_mixes import (
    POSITIONS,
    PROJECT,
    REPORTS,
    Mix,
    an_id,
    hostile_filters,
)
from services.feed.decode import Decoder
from services.geofence.judge import Bounds, judge, who_of
from services.geofence.vehicle import Vehicle
from services.kernel.clock import rfc3339_ms
from services.kernel.event import Event, Json, Partition, Poison, Position, Record
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import SignatureScheme, SigningKey, Subscription
from services.match.fences import Fence, Fences
from services.match.filters import evaluator, stored
from services.match.geometry import Circle
from services.match.index import Matcher

EVENTS = 20_000
PASSES = 3
COMPARED = 60
"""Events on which each filter is evaluated by itself."""
AREAS = 1_000
SEED = 20_260_317


class Figure(NamedTuple):
    """One figure and what it may be."""

    what: str
    value: float
    unit: str
    allowed: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is what it may be."""
        return self.value >= self.allowed if self.at_least else self.value <= self.allowed


def measure(*, events: int = EVENTS, many: int = 10_000) -> list[Figure]:
    """Measure everything, one after the other."""
    found = []
    for mix in (POSITIONS, REPORTS):
        found += _thousand(mix, events)
    matcher = _matcher(_subscriptions(POSITIONS, many))
    longest, _ = _steps(matcher.prepare(PROJECT, POSITIONS.type))
    per_event, _ = _per_event(matcher, _records(POSITIONS, events))
    found += [
        Figure(f"{many:,} subscriptions, positions", per_event, "µs/event", 220),
        Figure(f"{many:,} subscriptions, longest step", longest * 1e3, "ms", 10),
    ]
    projects = [an_id(n) for n in range(500)]
    spread = [s for project in projects for s in _subscriptions(POSITIONS, 10, project)]
    per_event, _ = _per_event(_matcher(spread), _records(POSITIONS, events, projects))
    found.append(Figure("5,000 over 500 projects, positions", per_event, "µs/event", 12))
    return [*found, *_places(events), *_geofencer(events), *_hostile(events // 10)]


def compared(mix: Mix, count: int, events: int) -> tuple[float, float]:
    """Return microseconds per event by the index, and by each filter by itself."""
    subscriptions = _subscriptions(mix, count)
    decoded = _decoded(_records(mix, events))
    matcher = _matcher(subscriptions)
    matcher.match(decoded[0])
    by_index = _best(lambda: _match_all(matcher, decoded)) / len(decoded)
    trees = [tree for s in subscriptions if (tree := stored(s.filter or "")) is not None]
    filters = [evaluator(tree) for tree in trees]
    few = decoded[:COMPARED]
    began = time.process_time()
    for event in few:
        for holds in filters:
            holds(event.body)
    return by_index * 1e6, (time.process_time() - began) / len(few) * 1e6


def _thousand(mix: Mix, events: int) -> list[Figure]:
    name = f"1,000 subscriptions, {mix.type}"
    subscriptions = _subscriptions(mix, 1_000)
    matcher = Matcher()
    steps, read = _steps(matcher.learn(subscriptions))
    matcher.replace_all(subscriptions)
    records = _records(mix, events)
    first = _decoded(records[:1])[0]
    building, built = _steps(matcher.prepare(PROJECT, mix.type))
    matcher.apply(subscriptions[:40], [])
    matcher.match(first)
    again, _ = _steps(matcher.rebuild())
    per_event, p50 = _per_event(matcher, records)
    by_index, one_by_one = compared(mix, 1_000, events // 4)
    return [
        Figure(f"{name}, decoding included", per_event, "µs/event", 20),
        Figure(f"{name}, median", p50, "µs/event", 50),
        Figure(
            f"{name}, faster than one by one", one_by_one / by_index, "times", 20, at_least=True
        ),
        Figure(f"{name}, built from JSON text", (read + built) * 1e3, "ms", 60),
        Figure(f"{name}, longest step", max(steps, building, again) * 1e3, "ms", 10),
        Figure(f"{name}, memory each", _bytes_each(mix), "B", 10_000),
        Figure(f"{name}, a miss explained", _explained(matcher, first) * 1e6, "µs", 50),
    ]


def _places(events: int) -> list[Figure]:
    chance = random.Random(SEED)  # noqa: S311 - chosen for speed
    circles = [
        Circle(41.4 + chance.gauss(0, 0.1), 2.17 + chance.gauss(0, 0.1), chance.uniform(100, 900))
        for _ in range(AREAS)
    ]
    fences = Fences(Fence(an_id(n), circle) for n, circle in enumerate(circles))
    points = [(41.4 + chance.gauss(0, 0.1), 2.17 + chance.gauss(0, 0.1)) for _ in range(events)]
    per_fence = _best(lambda: [fences.at(*point) for point in points]) / events
    inline = [
        _subscription(n, {"data": {"position": [{"geo-within": {"circle": {
            "center": {"lat": circle.lat, "lng": circle.lng}, "radius_m": circle.radius_m}}}]}})
        for n, circle in enumerate(circles)
    ]  # fmt: skip
    decoded = _decoded(_records(POSITIONS, events))
    matcher = _matcher(inline)
    matcher.match(decoded[0])
    per_inline = _best(lambda: _match_all(matcher, decoded)) / events
    return [
        Figure("1,000 geofences", per_fence * 1e6, "µs/position", 5),
        Figure("1,000 filters that are an inline area", per_inline * 1e6, "µs/position", 20),
    ]


def _geofencer(events: int) -> list[Figure]:
    """Return what the geofence role takes, decoding apart: for a position, and for a vehicle."""
    chance = random.Random(SEED)  # noqa: S311 - chosen for speed
    fences = Fences(
        Fence(an_id(n), Circle(41.4 + chance.gauss(0, 0.1), 2.17 + chance.gauss(0, 0.1), 300.0))
        for n in range(AREAS)
    )
    decoded = []
    places: dict[str | None, list[float]] = {}
    for n, event in enumerate(_decoded(_records(POSITIONS, events))):
        taken_ms = 1_773_740_000_000 + 1_000 * n
        position = event.body["data"]["position"]
        at = places.setdefault(who_of(event), [position["lat"], position["lng"]])
        at[:] = (each + chance.gauss(0, 0.0006) for each in at)  # 70 m on
        moment = rfc3339_ms(taken_ms)
        position |= {"lat": round(at[0], 5), "lng": round(at[1], 5), "created_at": moment}
        decoded.append(replace(event, timestamp_ms=taken_ms))
    bounds = Bounds()

    def run() -> dict[str | None, Vehicle]:
        known: dict[str | None, Vehicle] = {}
        for event in decoded:
            who = who_of(event)
            judged = judge(known.get(who), event, fences, bounds)
            if judged.vehicle is not None:
                known[who] = judged.vehicle
        return known

    seconds = _best(run) / events
    written = [vehicle.encode() for vehicle in run().values()]
    restored = _best(lambda: [Vehicle.decode(text) for text in written]) / len(written)
    gc.collect()
    tracemalloc.start()
    known = {f"{PROJECT}:{an_id(n)}": Vehicle.decode(text) for n, text in enumerate(written)}
    size = tracemalloc.get_traced_memory()[0] / len(known)
    tracemalloc.stop()
    return [
        Figure("geofence role, 1,000 fences, decoding apart", seconds * 1e6, "µs/position", 10),
        Figure("geofence role, memory each", size, "B/vehicle", 1_000),
        Figure("geofence role, restored", 1 / restored, "vehicles/s", 5_000, at_least=True),
    ]


def _hostile(events: int) -> list[Figure]:
    decoded = _decoded(_records(POSITIONS, events))
    found = []
    for name, filter_ in hostile_filters().items():
        subscription = _subscription(1, filter_)
        assert stored(subscription.filter or "") is not None, name  # noqa: S101 - within the limits
        matcher = _matcher([subscription])
        matcher.match(decoded[0])
        seconds = _best(lambda matcher=matcher: _match_all(matcher, decoded)) / events  # type: ignore[misc]
        found.append(Figure(f"a hostile filter, {name}", seconds * 1e6, "µs/event", 50))
    return found


def _bytes_each(mix: Mix) -> float:
    subscriptions = _subscriptions(mix, 1_000)
    decoded = _decoded(_records(mix, 3_000))
    gc.collect()
    tracemalloc.start()
    matcher = _matcher(subscriptions)
    for event in decoded:
        matcher.match(event)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size / len(subscriptions) + _own_bytes(subscriptions)


def _explained(matcher: Matcher, event: Event) -> float:
    """Return what it takes to find out which clauses of a filter say no, in seconds."""
    tried = sum(1 for _ in matcher.refused(event, turn=0))
    return _best(lambda: list(matcher.refused(event, turn=0))) / tried


def _own_bytes(subscriptions: Sequence[Subscription]) -> float:
    """Return what the text of a filter takes; the subscription itself is `bench match`'s."""
    return sum(len(each.filter or "") for each in subscriptions) / len(subscriptions)


def _per_event(matcher: Matcher, records: Sequence[Record]) -> tuple[float, float]:
    """Return microseconds of decoding and matching: the mean, and the median."""
    decode = Decoder(max_bytes=1 << 20).decode

    def run() -> None:
        for record in records:
            event = decode(record)
            matcher.match(event)  # type: ignore[arg-type]  # our own: it decodes

    mean = _best(run) / len(records)
    each = []
    for event in _decoded(records[: EVENTS // 10]):
        began = time.perf_counter()
        matcher.match(event)
        each.append(time.perf_counter() - began)
    return mean * 1e6, sorted(each)[len(each) // 2] * 1e6


def _match_all(matcher: Matcher, events: Iterable[Event]) -> None:
    for event in events:
        matcher.match(event)


def _best(run: Callable[[], object]) -> float:
    run()  # entries are built, caches are warm
    found = []
    for _ in range(PASSES):
        gc.collect()
        gc.disable()
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
        gc.enable()
    return min(found)


def _steps(steps: Iterable[None]) -> tuple[float, float]:
    """Return the longest step and all of them, in seconds of CPU."""
    found = []
    gc.disable()
    began = time.process_time()
    for _ in steps:
        found.append(time.process_time() - began)
        began = time.process_time()
    found.append(time.process_time() - began)
    gc.enable()
    return max(found), sum(found)


def _matcher(subscriptions: Iterable[Subscription]) -> Matcher:
    matcher = Matcher()
    matcher.replace_all(subscriptions)
    return matcher


def _subscriptions(mix: Mix, count: int, project: str = PROJECT) -> list[Subscription]:
    chance = random.Random(f"{SEED} {project}")  # noqa: S311
    return [_subscription(n, mix.a_filter(chance), mix.type, project) for n in range(count)]


def _subscription(
    number: int, filter_: Json, type_: str = POSITIONS.type, project: str = PROJECT
) -> Subscription:
    return Subscription(
        id=SubscriptionId(an_id(number)),
        project_id=ProjectId(project),
        url="https://hooks.example.com/planner/events",
        types=(type_,),
        keys=(SigningKey(SignatureScheme.V1, bytes(32)),),
        filter=json.dumps(filter_, separators=(",", ":")),
    )


def _records(mix: Mix, count: int, projects: Sequence[str] = (PROJECT,)) -> list[Record]:
    chance = random.Random(SEED)  # noqa: S311
    partition = Partition("planner.positions", 0)
    return [
        Record(
            position=Position(partition, n),
            timestamp_ms=0,
            key=None,
            value=orjson.dumps(mix.an_event(chance, n, projects[n % len(projects)])),
        )
        for n in range(count)
    ]


def _decoded(records: Iterable[Record]) -> list[Event]:
    decode = Decoder(max_bytes=1 << 20).decode
    found = []
    for record in records:
        event = decode(record)
        assert event is not None and not isinstance(event, Poison)  # noqa: PT018, S101 - our own
        found.append(event)
    return found
