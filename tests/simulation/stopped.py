"""What people do while no worker runs: reset the group's offsets, put an older Postgres back.

Both begin with a stop of all workers, as the tools demand, and end with their start.
"""

import asyncio
import copy
import random

from services.kernel.ports.broker import Commit
from tests.simulation.world import EVENTS, MASTER, World
from tests.support.fake_store import Tables
from tests.support.server import State

STOP_SECONDS = 60.0
SETTLE_SECONDS = 10.0
"""By then a worker that refuses to start has ended."""


class Stopped:
    """Stops the world, and tells the oracle what is done to it."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._dump: Tables | None = None

    async def reset(self) -> None:
        """Set the group's offset of a partition, backward or forward, as the tools do."""
        world = self._world
        if world.clock.jump or not await self._stop_all():
            return  # whose clock jumped can't say what is from before a subscription
        partition = self._chance.choice([p for p in world.kafka.logs if p.topic == EVENTS])
        log, row = world.kafka.logs[partition], world.database.tables.partitions.get(partition)
        before = world.kafka.group.offsets.get(partition)
        if before is not None and row is not None and row.committed is not None:
            offset = self._chance.randint(log.start, log.end)
            world.note(f"RESET {partition} {before.offset} → {offset}")
            world.oracle.reset(partition, offset, known=row.committed, now=world.clock.monotonic())
            world.kafka.group.offsets[partition] = Commit(offset, "")
        world.held = False

    async def restore(self) -> None:
        """Take a dump of Postgres; the next time, put it back and do what the refusal says."""
        world = self._world
        if self._dump is None or not self._is_whole(self._dump):
            world.note("DUMP")
            self._dump = copy.deepcopy(world.database.tables)
            return
        if world.clock.jump or not await self._stop_all():
            return
        for process in world.buried:
            process.kill()  # one that sleeps would wake under an epoch that is given out again
        dump, self._dump = self._dump, None
        dump.subscriptions = world.database.tables.subscriptions
        dump.gaps = world.database.tables.gaps  # what was told of them was told
        world.note("RESTORE")
        world.database.tables = dump
        now = world.clock.monotonic()
        world.oracle.restored(now)
        if await self._refuses():
            for partition, log in world.kafka.logs.items():
                if partition.topic in (EVENTS, MASTER) and partition in world.kafka.group.offsets:
                    world.kafka.group.offsets[partition] = Commit(log.start, "")
                    world.oracle.reset(partition, log.start, known=None, now=now)
        world.held = False

    def _is_whole(self, dump: Tables) -> bool:
        """Tell whether nobody changed a subscription since; else it would have to be made again."""
        now = self._world.database.tables.subscriptions
        return {i: s.version for i, s in dump.subscriptions.items()} == {
            i: s.version for i, s in now.items()
        }

    async def _refuses(self) -> bool:
        """Start one worker; tell whether it refuses, and hold it to having written nothing then."""
        world = self._world
        world.refused = False
        world.start(world.nodes[0])
        task = world.nodes[0].task
        assert task is not None
        await asyncio.wait([task], timeout=SETTLE_SECONDS)
        return world.refused

    async def _stop_all(self) -> bool:
        """Stop all workers, and keep them stopped; False: the group never was empty."""
        world = self._world
        world.held = True
        for node in world.nodes:
            if node.process is not None and node.process.alive:
                node.process.wake()
                world.stop(node)
        until = world.clock.monotonic() + STOP_SECONDS
        while not self._is_quiet():
            if world.clock.monotonic() > until:
                world.held = False
                return False
            await asyncio.sleep(0.25)
        return True

    def _is_quiet(self) -> bool:
        world = self._world
        running = any(
            node.process is not None and node.process.alive and node.task and not node.task.done()
            for node in world.nodes
        )
        servers = (world.kafka, world.database)
        up = all(server.state is State.UP for server in servers)
        return up and not running and not world.kafka.group.members
