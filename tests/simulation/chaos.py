"""What goes wrong: one fault after the other, by the scenario's chance."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from services.kernel.subscription import Status
from tests.simulation.oracle import Trouble
from tests.simulation.scenario import Fault
from tests.simulation.stopped import Stopped
from tests.simulation.world import EVENTS, Node, World
from tests.support.processes import Process
from tests.support.server import Server, State

MAX_NODES = 4


class Chaos:
    """Makes trouble, and tells the oracle of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = random.Random(f"{world.scenario.seed}/chaos")
        self._mends: dict[Callable[[], None], asyncio.TimerHandle] = {}
        self._twins: list[Process] = []
        self._keeper: asyncio.Task[None] | None = None
        stopped = Stopped(world, self._chance)
        self._makers: dict[Fault, Callable[[], Awaitable[None] | None]] = {
            Fault.STOP: self._stop,
            Fault.SCALE: self._scale,
            Fault.KILL: self._kill,
            Fault.NAP: self._nap,
            Fault.TWIN: self._twin,
            Fault.EVICT: self._evict,
            Fault.FAIL: self._fail,
            Fault.STORE_DOWN: lambda: self._down(world.database, "store"),
            Fault.STORE_LOSES: lambda: self._loses(world.database, "store"),
            Fault.KAFKA_DOWN: lambda: self._down(world.kafka, "kafka"),
            Fault.KAFKA_LOSES: lambda: self._loses(world.kafka, "kafka"),
            Fault.PERSON: self._person,
            Fault.REWIND: self._rewind,
            Fault.RETENTION: self._retention,
            Fault.JUMP: self._jump,
            Fault.RESET: stopped.reset,
            Fault.RESTORE: stopped.restore,
            Fault.RECREATE: self._recreate_at_the_end,
        }

    async def run(self) -> None:
        """Make trouble until the scenario's time is over, then end all of it."""
        world = self._world
        until = world.clock.monotonic() + world.scenario.seconds
        self._keeper = asyncio.create_task(self._keep_running())
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / world.scenario.fault_seconds))
            if world.clock.monotonic() >= until:
                break
            world.oracle.raise_broken()
            fault = self._chance.choice(world.scenario.faults)
            world.note(f"FAULT {fault}")
            if (done := self._makers[fault]()) is not None:
                await done
        await self._end()

    async def _end(self) -> None:
        world = self._world
        world.note("THE END OF TROUBLE")
        for twin in self._twins:
            twin.kill()
        for mend, timer in list(self._mends.items()):
            timer.cancel()
            mend()
        world.heal()
        for node in world.nodes:
            node.wanted = True
            # Whoever was told to stop does; the next one takes over the name.
            if node.task is not None and node.stopping:
                await asyncio.wait([node.task], timeout=60)
            if node.process is None or not node.process.alive:
                world.start(node)
        world.revive()
        now = world.clock.monotonic()
        world.oracle.end_troubles(now)

    async def _keep_running(self) -> None:
        """Start a process where one has ended by itself, as a supervisor does."""
        world = self._world
        while not world.over:
            await asyncio.sleep(1.0)
            for node in world.nodes:
                if node.wanted and node.process is None and not world.held:
                    world.start(node)

    def _trouble(self, what: str, seconds: float, *, process: Process | None = None) -> None:
        now = self._world.clock.monotonic()
        self._world.oracle.troubles.append(Trouble(now, now + seconds, what, process, None))

    def _later(self, seconds: float, mend: Callable[[], None]) -> None:
        """Call *mend* after *seconds*, or when the time for trouble is over."""

        def now() -> None:
            del self._mends[now]
            mend()

        self._mends[now] = asyncio.get_running_loop().call_later(seconds, now)

    def _any_node(self) -> Node | None:
        running = [
            node
            for node in self._world.nodes
            if node.process is not None and node.process.alive and not node.process.asleep
        ]
        return self._chance.choice(running) if running else None

    def _away_seconds(self) -> float:
        """Return how long nobody has a name: within a session, or longer."""
        session = self._world.scenario.session_timeout
        return self._chance.choice([0.05, 0.5 * session, 2 * session]) * self._chance.random()

    # Workers.

    def _stop(self) -> None:
        node = self._any_node()
        if node is None or node.stopping:
            return
        node.wanted = False
        self._world.note(f"STOP {node.process}")
        self._world.stop(node)
        self._back_later(node)

    def _back_later(self, node: Node) -> None:
        def back() -> None:
            node.wanted = True

        self._later(self._away_seconds(), back)

    def _scale(self) -> None:
        if len(self._world.nodes) < MAX_NODES:
            self._world.add_node()
        else:
            self._stop()

    def _kill(self) -> None:
        node = self._any_node()
        if node is None or node.process is None:
            return
        process = node.process
        # At once, or after so many steps that it may happen at any await of what is under way.
        steps = int(2 ** (self._chance.random() * 11))
        process.kill_after(steps)

        def buried() -> None:
            if process.alive:
                process.kill()
            if node.process is process:
                node.process = None
                node.wanted = True

        # A step is at most a tick away; the trouble lasts until the process is dead for sure.
        seconds = 0.5 + self._away_seconds()
        self._world.note(f"KILL {process} after {steps}")
        self._trouble("kill", seconds, process=process)
        node.wanted = False
        self._later(seconds, buried)

    def _nap(self) -> None:
        node = self._any_node()
        if node is None or node.process is None:
            return
        process = node.process
        seconds = self._chance.uniform(0.2, 2.5) * self._world.scenario.session_timeout
        since = self._world.clock.monotonic()
        process.sleep()
        self._world.note(f"NAP {process} {seconds:.3f}")
        self._trouble("nap", seconds + 10, process=process)
        self._later(seconds, lambda: self._wake(process, since))

    def _twin(self) -> None:
        node = self._any_node()
        if node is None or node.process is None:
            return
        old, since = node.process, self._world.clock.monotonic()
        old.sleep()
        self._twins.append(old)
        self._trouble("twin", 3600)
        self._world.start(node)
        self._world.note(f"TWIN {old} {node.process}")
        self._later(self._chance.uniform(0.1, 5), lambda: self._wake(old, since))
        self._later(self._chance.uniform(5, 10), old.kill)

    def _wake(self, process: Process, since: float) -> None:
        now = self._world.clock.monotonic()
        self._world.oracle.woke(process, now - since, now)
        process.wake()

    def _evict(self) -> None:
        members = list(self._world.kafka.group.members)
        if members:
            self._trouble("evict", 10)
            self._world.kafka.group.evict(self._chance.choice(members))

    def _fail(self) -> None:
        node = self._any_node()
        if node is not None and node.members:
            self._trouble("fail", 10, process=node.process)
            node.members[-1].fail()

    # Servers.

    def _down(self, server: Server, name: str) -> None:
        if server.state is not State.UP:
            return
        seconds = self._chance.choice([0.5, 8.0]) * self._chance.random()
        server.go(self._chance.choice([State.REFUSING, State.HANGING]))
        self._world.note(f"DOWN {name} {server.state} {seconds:.3f}")
        self._trouble(f"{name} down", seconds + 10)
        self._later(seconds, lambda: server.go(State.UP))

    def _loses(self, server: Server, name: str) -> None:
        seconds = self._chance.uniform(0.1, 3)
        share = self._chance.choice([0.1, 0.5])
        server.loses = lambda: self._chance.random() < share
        self._world.note(f"LOSES {name} {share} {seconds:.3f}")
        self._trouble(f"{name} loses", seconds + 10)

        def mend() -> None:
            server.loses = lambda: False

        self._later(seconds, mend)

    # People.

    def _person(self) -> None:
        world = self._world
        stored = world.database.tables.subscriptions
        if self._chance.random() < 0.2 or not stored:
            manners = world.scenario.manners
            world.subscribe(self._chance.choice(manners))
            return
        id_ = self._chance.choice(list(stored))
        match self._chance.choice(["pause", "pause", "resume", "change", "delete"]):
            case "pause" if stored[id_].status is Status.ACTIVE:
                world.set_status(id_, Status.PAUSED)
            case "resume":
                world.set_status(id_, Status.ACTIVE)
            case "change":
                world.change(id_, max_in_flight=self._chance.choice([None, 1, 2]))
                world.regroup(id_)
            case "delete" if len(stored) > 1 and self._chance.random() < 0.3:
                world.note(f"DELETE {id_}")
                world.database.unsubscribe(id_)
            case _:
                pass

    def _retention(self) -> None:
        world = self._world
        commits = world.kafka.group.offsets
        partition = self._chance.choice([p for p in world.kafka.logs if p.topic == EVENTS])
        log, commit = world.kafka.logs[partition], commits.get(partition)
        if commit is not None and commit.offset > log.start:
            start = self._chance.randint(log.start, commit.offset)
            world.note(f"RETENTION {partition} {start}")
            world.oracle.retention(partition, start)
            world.kafka.delete_below(partition, start)

    def _recreate_at_the_end(self) -> None:
        self._world.recreates = True

    def _jump(self) -> None:
        seconds = self._chance.uniform(-20, 20)
        self._world.note(f"JUMP {seconds:.3f}")
        self._world.clock.jump += timedelta(seconds=seconds)
        self._world.oracle.jumped = True

    def _rewind(self) -> None:
        world = self._world
        stored = world.database.tables.subscriptions
        id_ = self._chance.choice(list(stored))
        match self._chance.choice(["back", "leap", "widen"]):
            case "widen" if "*" not in stored[id_].types:
                world.widen(id_)
            case "leap":
                world.rewind(id_, now=True)
            case _:
                world.rewind(id_, now=False)


async def tell(world: World) -> None:
    """Run the story of *world* from its beginning to its end."""
    scenario = world.scenario
    for manner in scenario.manners:
        world.subscribe(manner)
    for _ in range(scenario.workers):
        world.add_node()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_produce(world))
            group.create_task(Chaos(world).run())
        await world.finish()
        await world.stop_all()
        await _nothing_more(world)
        world.oracle.judge_end()
        world.oracle.raise_broken()
        if world.recreates and not world.database.tables.retries:
            await _with_a_new_topic(world)
    finally:
        await world.bury()


async def _produce(world: World) -> None:
    """Produce in bursts, over the time of the scenario."""
    scenario = world.scenario
    chance = random.Random(f"{scenario.seed}/load")
    left = scenario.events
    while left > 0:
        await asyncio.sleep(chance.expovariate(1) * scenario.seconds * 8 / scenario.events)
        for _ in range(min(left, chance.randrange(1, 16))):
            world.produce()
            world.report()
            left -= 1


async def _with_a_new_topic(world: World) -> None:
    """Make the topic anew while nobody runs, and go on: what is in it before anybody runs is a gap."""
    world.recreate()
    world.start(world.nodes[0])
    await asyncio.sleep(world.scenario.session_timeout * 2 + 4)
    for _ in range(12):
        world.produce()
    await world.finish()
    await world.stop_all()
    world.oracle.judge_end()
    world.oracle.raise_broken()


async def _nothing_more(world: World) -> None:
    """Start a worker again: it finds nothing to do."""
    before = len(world.internet.seen)
    node = world.nodes[0]
    world.start(node)
    await asyncio.sleep(world.scenario.session_timeout * 2 + 4)
    more = [
        seen
        for seen in world.internet.seen[before:]
        if seen.subscription_id not in world.oracle.hopeless
    ]
    if more:
        world.oracle.breaks(f"after the end was sent again: {more[:3]}")
    await world.stop_all()
