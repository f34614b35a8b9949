"""`bench isolation`: what those that are well notice of those that are not; each a ratio within one run.

*Black holes*: ten subscriptions get 300 requests a second together; p99 of nine of them while the tenth
hangs, by that while it answers, in turns. *Down*: two workers, each with 1,000 subscriptions in 50
projects at a sink of its own, and 1,000 others beside them. Those of one are at a port where nobody
listens, and have left the feed by then; those of the other are well and have nothing to do. Both deliver
at once and change places between two cores twenty times a second, so that the machine is the same for
both: slices in turns, or each on a core of its own, differ by a tenth even where there is no difference.
Two sinks and Kafka leave each worker two thirds of a core, and there what comes by time, like probes,
weighs half as much again. So what a worker spends by time is measured while there is nothing to deliver,
what it spends per delivery while there is, and the rates are those with a core to itself.
*Outage*: a receiver fails for some seconds; from when it is well until it gets nine tenths of the rate
again.
"""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from services.dev.bench_filters import Figure
from services.dev.cpu import highest_bytes
from services.dev.farm import Entry, set_times
from services.dev.folder import free_ports
from services.dev.manners import OK
from services.dev.process import ServerError
from services.kernel.clock import SystemClock
from services.run.bench import get
from services.run.ground import Ground, Mark, Worker
from services.run.stack import Call

CLOCK = SystemClock()
PACED = "bench.paced"
LOADS = ("bench.load0", "bench.load1")
HOLES, DOWN, PACED_TYPE, LOAD_TYPE = "hanging", "failing", "plan.created", "route.created"
WELL, RATE = 9, 30.0
SUBSCRIPTIONS, PROJECTS = 1_000, 50
ROUNDS = 3
PAIRS, SLICES = 3, 8
"""Pairs of processes, since one and the same program differs by some percent from one to the next; and
slices of each."""
SETTLE_SECONDS = 65.0
"""By then who is down is probed once a minute."""
IDLE_SECONDS = 30.0
"""For how long it is measured what a worker spends by time: 1 to 2 CPU seconds. That is before the
slices, when the probes of those that went down together aren't spread over the minute yet: if more come
later, they count against being down."""
SWAP_SECONDS = 0.05
"""Two cores of one machine may differ by a quarter at a time: whoever else uses it is on one of them."""
FROM, TO = 0.15, 0.97
"""Of a slice: from when both have done as much until one of them has."""
OUTAGE_SECONDS, OUTAGE_RATE, LATEST_SECONDS = 5.0, 100.0, 60.0


async def measure(
    folder: Path,
    *,
    seconds: float,
    events: int,
    call_as: Callable[[str, str], Call],
    say: Callable[[str], None],
) -> list[Figure]:
    """Measure everything on one stack."""
    async with Ground(folder, topics=[PACED, *LOADS], call_as=call_as) as ground:
        book = folder / "book"
        farm = await ground.server("farm", "--book", str(book))
        say("a receiver of ten hangs")
        found = [await _holes(ground, farm, seconds)]
        say("a receiver fails, and recovers")
        found.append(await _recovery(ground, farm, book))
        say(f"{SUBSCRIPTIONS:,} subscriptions are down")
        found += await _down(ground, events, say=say)
    return found


async def _holes(ground: Ground, farm: str, seconds: float) -> Figure:
    ids = [await ground.subscribe(ground.sink, PACED_TYPE) for _ in range(WELL)]
    ids.append(await ground.subscribe(f"{farm}/0/{HOLES}", PACED_TYPE, timeout_seconds=15))
    ratios = []
    async with ground.worker(PACED, group="holes") as worker:
        await _paced(ground, 3.0, rate=RATE)  # it is up, and its connections are open
        for _ in range(ROUNDS):
            p99 = {}
            for times in ("good", "bad"):
                await set_times(farm, times)
                await ground.forget(ground.sink)
                await _paced(ground, seconds, rate=RATE)
                p99[times] = float((await get(ground.sink, "/stats"))["p99_ms"])
                worker.check()
            ratios.append(p99["bad"] / p99["good"])
    await set_times(farm, "good")
    for id_ in ids:
        await ground.unsubscribe(id_)
    named = "p99 of nine receivers while the tenth hangs, by that while it answers"
    return Figure(named, statistics.median(ratios), "of it", 1.2)


async def _recovery(ground: Ground, farm: str, book: Path) -> Figure:
    id_ = await ground.subscribe(f"{farm}/1/{DOWN}", PACED_TYPE, retry_schedule=[1] * 20)
    async with ground.worker(PACED, group="outage"), asyncio.TaskGroup() as group:
        load = group.create_task(_paced(ground, LATEST_SECONDS, rate=OUTAGE_RATE))
        await _until_rate(book, since=CLOCK.time())
        await set_times(farm, "bad")
        await asyncio.sleep(OUTAGE_SECONDS)
        well = CLOCK.time()
        await set_times(farm, "good")
        at = await _until_rate(book, since=well)
        load.cancel()
    await ground.unsubscribe(id_)
    named = f"from the end of an outage of {OUTAGE_SECONDS:.0f} s to 90 % of the rate"
    return Figure(named, at - well, "s", 10)


async def _until_rate(book: Path, *, since: float) -> float:
    """Return when, after *since*, nine tenths of the rate were acknowledged for half a second."""
    half = 0.5
    until = CLOCK.time() + LATEST_SECONDS
    while CLOCK.time() < until:
        after = await asyncio.to_thread(_acknowledged, book, since)
        needed = int(OUTAGE_RATE * half * 0.9)
        for first, last in zip(after, after[needed:], strict=False):
            if last - first <= half:
                return last
        await asyncio.sleep(0.1)
    raise ServerError(f"the rate did not come back in {LATEST_SECONDS:.0f} s")


def _acknowledged(book: Path, since: float) -> list[float]:
    """Return when the one that recovers acknowledged, after *since*."""
    entries = map(Entry.of, book.read_text().splitlines()[:-1])
    return sorted(each.ended for each in entries if each.status == OK and each.ended >= since)


async def _down(ground: Ground, events: int, *, say: Callable[[str], None]) -> list[Figure]:
    (port,) = free_ports(1)
    nobody = f"http://127.0.0.1:{port}"
    sinks = (ground.sink, await ground.server("sink"))
    fed = [await ground.subscribe(sink, LOAD_TYPE) for sink in sinks]
    well = await ground.subscribe(sinks[0], PACED_TYPE)
    down = await ground.subscribe(nobody, LOAD_TYPE)
    for id_, url, named in (
        (fed[0], sinks[0], "a"),
        (well, sinks[0], "a"),
        (fed[1], sinks[1], "b"),
        (down, nobody, "b"),
    ):
        await ground.copies(id_, SUBSCRIPTIONS, url=url, projects=PROJECTS, named=named)
    owners = [await ground.projects_of(id_) for id_ in fed]
    ratios: list[tuple[float, float, float]] = []
    for pair in range(PAIRS):
        say(f"pair {pair + 1} of {PAIRS}")
        # In one group, since they share a database; each has its topic to itself.
        async with AsyncExitStack() as running:
            sides = [
                _Side(
                    await running.enter_async_context(
                        ground.worker(topic, group="down", WEBHOOKS_DISPATCH__INSTANCE=topic)
                    ),
                    topic,
                    sink,
                    projects,
                )
                for topic, sink, projects in zip(LOADS, sinks, owners, strict=True)
            ]
            await running.enter_async_context(_swapping([side.worker.pid for side in sides]))
            await _warm(ground, sides, events)
            await asyncio.sleep(SETTLE_SECONDS)
            idle = await _idle(sides)
            ratios += [_ratios(await _slices(ground, sides, events), idle) for _ in range(SLICES)]
    by_core, by_cpu, by_clock = (statistics.median(each) for each in zip(*ratios, strict=True))
    noise = statistics.stdev(ratio for ratio, _, _ in ratios)
    say(
        f"slices differ by {noise:.1%}: that much is noise; per CPU second it is {by_cpu:.3f},"
        f" by the clock, where both compete for two cores, {by_clock:.3f}"
    )
    named = (
        f"deliveries to {SUBSCRIPTIONS:,} receivers while as many others are down, not well,"
        " with a core to itself"
    )
    return [Figure(named, by_core, "of the rate", 0.95, at_least=True)]


async def _idle(sides: Sequence["_Side"]) -> list[float]:
    """Return what share of a core each spends while there is nothing to deliver."""
    began = [await side.worker.mark(0) for side in sides]
    await asyncio.sleep(IDLE_SECONDS)
    for side in sides:
        side.worker.check()
    ended = [await side.worker.mark(0) for side in sides]
    return [(b.cpu - a.cpu) / (b.at - a.at) for a, b in zip(began, ended, strict=True)]


def _ratios(slices: Sequence["_Slice"], idle: Sequence[float]) -> tuple[float, float, float]:
    """Return the second's rate by the first's: with a core to itself, per CPU second, by the clock.

    Of each second of that core what is spent by time is gone; the rest goes by the CPU per delivery.
    """
    without, with_ = (
        (
            (1 - share) * each.done / (each.cpu - share * each.seconds),
            each.done / each.cpu,
            each.done / each.seconds,
        )
        for each, share in zip(slices, idle, strict=True)
    )
    return with_[0] / without[0], with_[1] / without[1], with_[2] / without[2]


async def _warm(ground: Ground, sides: Sequence["_Side"], events: int) -> None:
    """Have everybody had something: whoever is down leaves the feed."""
    without, _ = sides
    await _slices(ground, sides, events)
    await ground.forget(without.sink)
    await ground.fill(
        without.topic, events, type_of=lambda _: PACED_TYPE, projects=without.projects
    )

    async def received() -> float:
        return await ground.received(without.sink)

    await ground.until(events * SUBSCRIPTIONS // PROJECTS, received, without.worker)


@asynccontextmanager
async def _swapping(pids: Sequence[int]) -> AsyncIterator[None]:
    """Have two processes change places between two cores, where there are two."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < len(pids):
        yield
        return

    async def swap() -> None:
        while True:
            cores.reverse()
            for pid, core in zip(pids, cores, strict=True):
                for thread in _threads(pid):
                    with suppress(ProcessLookupError):
                        os.sched_setaffinity(thread, {core})
            await asyncio.sleep(SWAP_SECONDS)

    async with asyncio.TaskGroup() as group:
        swapping = group.create_task(swap())
        try:
            yield
        finally:
            swapping.cancel()


def _threads(pid: int) -> list[int]:
    try:
        return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
    except FileNotFoundError:  # it has ended; whoever waits for it says how
        return []


class _Side(NamedTuple):
    """A worker and what it delivers."""

    worker: Worker
    topic: str
    sink: str
    projects: Sequence[str]


class _Slice(NamedTuple):
    """Deliveries of one side, and what they took: seconds, and CPU seconds of its worker."""

    done: float
    seconds: float
    cpu: float


async def _slices(ground: Ground, sides: Sequence[_Side], events: int) -> list[_Slice]:
    """Have all *sides* deliver at once; return what each did while all had something to do."""
    total = events * SUBSCRIPTIONS // PROJECTS
    for side in sides:
        await ground.forget(side.sink)
    async with asyncio.TaskGroup() as group:
        for side in sides:
            filling = ground.fill(
                side.topic, events, type_of=lambda _: LOAD_TYPE, projects=side.projects
            )
            group.create_task(filling)

    async def marks(share: float, *, of: Callable[[list[int]], int]) -> list[Mark]:
        """Wait until *of* their counts has come to this share; return where each stands."""
        received: list[int] = []

        async def count() -> float:
            received[:] = [await ground.received(side.sink) for side in sides]
            return of(received)

        await ground.until(total * share, count, sides[0].worker)
        sides[1].worker.check()
        return [await side.worker.mark(n) for side, n in zip(sides, received, strict=True)]

    began = await marks(FROM, of=min)
    ended = await marks(TO, of=max)
    await marks(1, of=min)
    return [
        _Slice(b.done - a.done, b.at - a.at, b.cpu - a.cpu)
        for a, b in zip(began, ended, strict=True)
    ]


async def _paced(ground: Ground, seconds: float, *, rate: float) -> None:
    """Write events evenly."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as group:
        for n in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, began + n / rate - loop.time()))
            group.create_task(ground.produce(PACED, n, type_=PACED_TYPE))


async def memory(
    folder: Path,
    *,
    subscriptions: int,
    detached: int,
    call_as: Callable[[str, str], Call],
    say: Callable[[str], None],
) -> list[Figure]:
    """Load many subscriptions, have some of them leave the feed, and look at the memory."""
    async with Ground(folder, topics=[PACED, *LOADS], call_as=call_as) as ground:
        (port,) = free_ports(1)
        well = await ground.subscribe(ground.sink, PACED_TYPE)
        say(f"{subscriptions:,} subscriptions are made")
        await ground.copies(well, subscriptions, url=ground.sink, projects=subscriptions // 100)
        down = await ground.subscribe(f"http://127.0.0.1:{port}/", LOAD_TYPE)
        await ground.copies(down, detached, url=f"http://127.0.0.1:{port}")
        async with ground.worker(*LOADS[:1], PACED, group="memory") as worker:
            say(f"{detached:,} of them leave the feed")
            await _until_detached(ground, worker, detached)
            highest = highest_bytes(worker.pid)
    named = (
        f"{subscriptions:,} subscriptions, {detached:,} of them detached: a worker's memory at most"
    )
    return [Figure(named, highest / 1e6, "MB", 500)]


async def _until_detached(ground: Ground, worker: Worker, detached: int) -> None:
    number = 0

    async def lanes() -> float:
        nonlocal number
        for _ in range(5):
            await ground.produce(LOADS[0], number, type_=LOAD_TYPE)
            number += 1
        return await ground.detached()

    await ground.until(detached, lanes, worker)
