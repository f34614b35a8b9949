"""`bench catchup`: how fast lanes read, what it costs those that are live, when a replay begins.

*Reading*: a backlog of which one event in a hundred matches is passed by the feed while nobody wants
it; then a subscription is made that begins with the oldest record, and the worker's own metric says
how fast its lanes read. *Beside live traffic*: a backlog of other events is delivered by the feed, with
such a lane reading and without; what is left per CPU second says what share the lane takes.
*Delivering*: the same backlog delivered by the feed, and by lanes. *Replay*: from the API's answer to
the first request.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

from services.dev.bench_filters import Figure
from services.kernel.clock import SystemClock, rfc3339_ms
from services.run.ground import Ground, Worker
from services.run.stack import Call

BACKLOG, LIVE = "bench.backlog", ("bench.live0", "bench.live1", "bench.live2", "bench.live3")
GROUP = "bench"
MATCHING = 100
"""One event of so many matches."""
PART = 5
"""Each backlog of the feed is so much smaller."""
WANTED, OTHER, LIVELY = "route.created", "plan.created", "plan.optimized"


async def measure(
    folder: Path,
    *,
    events: int,
    call_as: Callable[[str, str], Call],
    say: Callable[[str], None],
) -> list[Figure]:
    """Measure everything on one stack."""
    async with Ground(folder, topics=[BACKLOG, *LIVE], call_as=call_as) as ground:
        since = SystemClock().time()
        live = await ground.subscribe(ground.sink, LIVELY)  # its first event is the first of all
        say(f"{events:,} events are written")
        await ground.fill(BACKLOG, events, type_of=_type_of)
        for topic in LIVE:
            await ground.fill(topic, events // PART, type_of=lambda _: LIVELY)
        say("lanes read")
        found = await _reading(ground, events, since=since)
        say("live beside a lane, and alone")
        found += await _beside(ground, events // PART)
        await ground.unsubscribe(live)
    return found


def _type_of(number: int) -> str:
    return OTHER if number % MATCHING else WANTED


async def _reading(ground: Ground, events: int, *, since: float) -> list[Figure]:
    async with ground.worker(BACKLOG, group=GROUP) as worker:
        await ground.until(events, worker.reads, worker)
        await ground.forget(ground.sink)
        id_ = await ground.subscribe(ground.sink, WANTED, start_from="earliest")
        began = await ground.until(events / 10, worker.scans, worker)
        ended = await ground.until(events, worker.scans, worker)
        await ground.until(events // MATCHING, lambda: ground.received(ground.sink), worker)
        first = await _first_of_a_replay(ground, worker, id_, since=since)
        await ground.unsubscribe(id_)
    per_second, per_cpu = ended.since(began)
    return [
        Figure("lanes read, 1 % matches", per_second, "events/s", 50_000, at_least=True),
        Figure("… per CPU second of the worker", per_cpu, "events/s", 50_000, at_least=True),
        Figure("from a replay's 202 to its first request", first, "s", 2),
    ]


async def _first_of_a_replay(ground: Ground, worker: Worker, id_: str, *, since: float) -> float:
    await ground.forget(ground.sink)
    body = {"from": rfc3339_ms(int(since * 1000))}
    await ground.stack.call("POST", f"/v1/subscriptions/{id_}/replays", body)
    began = await worker.mark(0)
    first = await ground.until(1, lambda: ground.received(ground.sink), worker)
    return first.at - began.at


async def _beside(ground: Ground, events: int) -> list[Figure]:
    """Deliver a backlog with a lane that reads another one, and without; then by lanes."""
    aside = await ground.server("sink")
    shares, alone = [], []
    for first, second in (LIVE[:2], LIVE[2:]):
        alone.append(await _delivered(ground, ground.sink, events, BACKLOG, first))
        lane = await ground.subscribe(aside, WANTED, start_from="earliest")
        beside = await _delivered(ground, ground.sink, events, BACKLOG, second)
        shares.append(beside / alone[-1])
        await ground.unsubscribe(lane)
    lane = await ground.subscribe(aside, LIVELY, start_from="earliest")
    by_lanes = await _delivered(ground, aside, events, LIVE[0])
    await ground.unsubscribe(lane)
    named = "live deliveries beside a lane that reads, by those without"
    lanes = "deliveries of a backlog by lanes, by those of the feed"
    return [
        Figure(named, statistics.median(shares), "of the rate", 0.75, at_least=True),
        Figure(lanes, by_lanes / statistics.median(alone), "of the rate", 0.8, at_least=True),
    ]


async def _delivered(ground: Ground, sink: str, events: int, *topics: str) -> float:
    """Return deliveries to *sink* per CPU second, from the first quarter to the third."""

    async def received() -> float:
        return await ground.received(sink)

    await ground.forget(sink)
    async with ground.worker(*topics, group=GROUP) as worker:
        began = await ground.until(events / 4, received, worker)
        ended = await ground.until(events * 3 / 4, received, worker)
        await ground.until(events, received, worker)
    return ended.since(began)[1]
