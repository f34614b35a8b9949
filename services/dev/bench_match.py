"""`bench match`: what an event costs to match, few subscriptions beside many; and their memory."""

import gc
import statistics
import time
import tracemalloc
from typing import NamedTuple

from services.feed.decode import Decoder
from services.kernel.event import Event, Partition, Poison, Position, Record
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import SignatureScheme, SigningKey, Subscription
from services.match.index import Matcher

EVENTS = 20_000
SLICES = 9
FEW, MANY, PROJECTS = 10, 100_000, 1_000
TYPES = ("plan.created", "route.*", "stop.report", "customer.created", "*")


class Matched(NamedTuple):
    """What it came to."""

    few_us: float
    many_us: float
    more_us: float
    """Median over pairs of slices."""
    bytes_per_subscription: float


def match() -> Matched:
    """Measure matching alone, in turns, within one process."""
    few, _ = _matcher(FEW, 1)
    many, size = _matcher(MANY, PROJECTS)
    events_few, events_many = _events(1), _events(PROJECTS)
    _run(few, events_few)
    _run(many, events_many)  # builds the entries
    pairs = [(_run(few, events_few), _run(many, events_many)) for _ in range(SLICES)]
    return Matched(
        few_us=statistics.median(a for a, _ in pairs),
        many_us=statistics.median(b for _, b in pairs),
        more_us=statistics.median(b - a for a, b in pairs),
        bytes_per_subscription=size / MANY,
    )


def _run(matcher: Matcher, events: list[Event]) -> float:
    """Return microseconds per event."""
    gc.disable()
    began = time.perf_counter()
    for event in events:
        matcher.match(event)
    seconds = time.perf_counter() - began
    gc.enable()
    return seconds / len(events) * 1e6


def _matcher(count: int, projects: int) -> tuple[Matcher, int]:
    """Return a matcher of *count* subscriptions, and the bytes that it holds, entries included."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    matcher = Matcher()
    matcher.replace_all(_subscription(n, n % projects) for n in range(count))
    for event in _events(projects)[:projects]:
        matcher.match(event)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return matcher, size


def _subscription(number: int, project: int) -> Subscription:
    return Subscription(
        id=SubscriptionId(f"{number:024x}"),
        project_id=ProjectId(f"{project:024x}"),
        url=f"https://hooks-{number}.example.com/planner/events",
        types=(TYPES[number % len(TYPES)],),
        keys=(SigningKey(SignatureScheme.V1, number.to_bytes(32, "big")),),
        headers=(("X-Customer", f"{number:08}"),),
        begins_ms=number,
        version=1,
    )


def _events(projects: int) -> list[Event]:
    decoder = Decoder(max_bytes=1 << 20)
    found = []
    for number in range(EVENTS):
        value = (
            b'{"id":"%024x","type":"plan.created","created_at":"2026-03-17T09:40:51.000Z",'
            b'"project_id":"%024x","data":{"id":"%024x","status":"planning"}}'
        ) % (number, number % projects, number)
        position = Position(Partition("planner.events", 0), number)
        event = decoder.decode(Record(position=position, timestamp_ms=0, key=None, value=value))
        assert not isinstance(event, Poison) and event is not None  # noqa: PT018, S101 - our own
        found.append(event)
    return found
