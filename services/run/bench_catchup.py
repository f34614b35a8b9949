"""`bench catchup`: how fast lanes read, what it costs those that are live, when a replay begins.

*Reading*: a backlog of which one event in a hundred matches is passed by the feed while nobody wants
it; then a subscription is made that begins with the oldest record, and the worker's own metric says
how fast its lanes read. *Beside live traffic*: one worker delivers slices of other events as fast as it
can, by the feed, with such a lane reading and without, in turns; what is left says what share the lane
takes. *Delivering*: the same events delivered by lanes. *Replay*: from the API's answer to the first
request.
"""

import statistics
from collections.abc import Callable
from pathlib import Path

from services.dev.bench_filters import Figure
from services.kernel.clock import SystemClock, rfc3339_ms
from services.run.ground import Ground, Worker
from services.run.stack import Call

BACKLOG, LIVE = "bench.backlog", "bench.live"
GROUP = "bench"
MATCHING = 100
"""One event of so many matches."""
PART = 5
"""Each slice of the feed is so much smaller."""
TURNS = 4
WANTED, OTHER, LIVELY = "route.created", "plan.created", "plan.optimized"


async def measure(
    folder: Path,
    *,
    events: int,
    call_as: Callable[[str, str], Call],
    say: Callable[[str], None],
) -> list[Figure]:
    """Measure everything on one stack."""
    async with Ground(folder, topics=[BACKLOG, LIVE], call_as=call_as) as ground:
        since = SystemClock().time()
        live = await ground.subscribe(ground.sink, LIVELY)
        async with ground.worker(BACKLOG, LIVE, group=GROUP) as worker:
            await ground.until_attached(worker)  # what is new begins in a lane
        say(f"{events:,} events are written")
        await ground.fill(BACKLOG, events, type_of=_type_of)
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
    """Deliver slices with a lane that reads, and without, in turns; then by lanes. One worker."""
    aside = await ground.server("sink")
    alone, shares = [], []
    async with ground.worker(BACKLOG, LIVE, group=GROUP) as worker:
        await _slice(ground, worker, events)  # it is up, and its connections are open
        for _ in range(TURNS):
            alone.append(await _slice(ground, worker, events))
            before = await worker.scans()
            lane = await ground.subscribe(aside, WANTED, start_from="earliest")
            await ground.until(before + 1, worker.scans, worker)
            beside = await _slice(ground, worker, events)
            shares.append(
                [with_ / without for with_, without in zip(beside, alone[-1], strict=True)]
            )
            await ground.unsubscribe(lane)
        await ground.forget(aside)
        lane = await ground.subscribe(aside, LIVELY, start_from="earliest")
        began = await ground.until(events, lambda: ground.received(aside), worker)
        ended = await ground.until(events * TURNS, lambda: ground.received(aside), worker)
        await ground.unsubscribe(lane)
    by_clock, by_cpu = (statistics.median(found) for found in zip(*shares, strict=True))
    lanes = ended.since(began)[1] / statistics.median(per_cpu for _, per_cpu in alone)
    named = "live deliveries beside a lane that reads, by those without"
    return [
        Figure(f"{named}, by the clock", by_clock, "of the rate", 0.75, at_least=True),
        Figure("… per CPU second of the worker", by_cpu, "of the rate", 0.75, at_least=True),
        Figure(
            "deliveries of a backlog by lanes, by those of the feed, per CPU second",
            lanes, "of the rate", 0.8, at_least=True,
        ),
    ]  # fmt: skip


async def _slice(ground: Ground, worker: Worker, events: int) -> tuple[float, float]:
    """Deliver so many live; return how many per second and per CPU second from the first quarter on."""

    async def received() -> float:
        return await ground.received(ground.sink)

    await ground.forget(ground.sink)
    await ground.fill(LIVE, events, type_of=lambda _: LIVELY)
    began = await ground.until(events / 4, received, worker)
    return (await ground.until(events, received, worker)).since(began)
