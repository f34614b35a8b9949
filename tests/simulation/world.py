"""Workers, Kafka, Postgres and receivers in one process, in virtual time, by one seed.

The workers are the real ones; everything they touch is a fake whose far end is a `Server`. The same
seed is the same story to the last step.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count

import orjson

from services.deliver.send import SigningSender
from services.dispatch.assemble import assemble
from services.dispatch.ports import Options, Ports
from services.dispatch.worker import Worker
from services.feed.decode import derived_id
from services.kernel.attempt import Attempt
from services.kernel.delivery import Delivery
from services.kernel.errors import BrokerGoneError, StoreGoneError, StoreWentBackError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Start, StartKind
from services.kernel.operation import OPS_TOPIC
from services.kernel.ports.network import Sender
from services.kernel.ports.store.retries import Waits
from services.kernel.subscription import (
    EACH,
    Grouping,
    Mode,
    OnExhausted,
    Ordered,
    Status,
    Subscription,
)
from services.record.buffer import Attempts, Bounds
from tests.simulation.latest import LatestOracle
from tests.simulation.oracle import POSITION, Oracle, Pair, Produced, Trouble, wants
from tests.simulation.ordered import OrderOracle
from tests.simulation.scenario import Scenario
from tests.support.factories import a_subscription
from tests.support.fake_counts import FakeMatchCounts
from tests.support.fake_geofences import FakeGeofences
from tests.support.fake_kafka import (
    FakeKafka,
    FakeLogReader,
    FakeMember,
    FakeOffsets,
    FakeProducer,
    Log,
)
from tests.support.fake_receivers import FakeHttp, Internet, Manner, Receiver
from tests.support.fake_replays import FakeReplays
from tests.support.fake_store import FakeDatabase, FakeStore
from tests.support.fake_trouble import FakeTrouble
from tests.support.processes import Process, current_process
from tests.support.server import State
from tests.support.virtual_time import EPOCH, VirtualClock

EVENTS, MASTER, QUARANTINE = "planner.events", "planner.master", "quarantine"
OPERATIONS = OPS_TOPIC
ATTEMPTS = "webhooks.attempts"
ATTEMPTS_BOUNDS = Bounds(attempts=1_000, bytes=1 << 20, seconds=0.1)
PROJECTS = ("5e208446c97efa37d4830b01", "5e208446c97efa37d4830b02")
TYPES = ("plan.created", "route.started", "stop.arrived")
PATTERNS = (("*",), ("*",), ("plan.created",), ("plan.*", "stop.arrived"), ("route.*",))
BATCH = Grouping(Mode.BATCH, max_events=4, max_wait_ms=200, max_bytes=1_024)
POSITIONS = ((POSITION,), (POSITION, "*"), (POSITION, "stop.arrived"))
LATE_SECONDS = 3.0
STORE_SECONDS = 2.0
FLEETS = 0.2
"""In so many stories there are positions."""
FINISH_SECONDS = 240.0


@dataclass
class Node:
    """A name in the group, and the process that has it now."""

    name: str
    process: Process | None = None
    worker: Worker | None = None
    task: asyncio.Task[None] | None = None
    stopping: bool = False
    wanted: bool = True
    """Whether another process is started when this one has ended."""
    members: list[FakeMember] = field(default_factory=list)


class World:
    """One story."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.story: list[str] = []
        self.clock = VirtualClock()
        self.chance = random.Random(f"{scenario.seed}/world")
        self._delays = random.Random(f"{scenario.seed}/delays")
        self.oracle = Oracle(note=self.note)
        self.order = OrderOracle(self.oracle, now=self.clock.monotonic)
        self.latest = LatestOracle(self.oracle)
        # A chance of its own: without positions a story is the same as if there were none in any.
        self._fleet = random.Random(f"{scenario.seed}/fleet")
        self.has_fleet = self._fleet.random() < FLEETS
        self.kafka = self.oracle.kafka = FakeKafka(
            {EVENTS: scenario.partitions, MASTER: 1, QUARANTINE: 1, OPS_TOPIC: 1, ATTEMPTS: 1},
            session_timeout=scenario.session_timeout,
            rebalance_timeout=scenario.rebalance_timeout,
            latency=self._latency,
            watcher=self.oracle,
        )
        self.database = self.oracle.database = FakeDatabase(
            clock=self.clock, latency=self._latency, watcher=self.oracle
        )
        self.internet = Internet(latency=self._latency, watch=self.oracle.arrived)
        self.nodes: list[Node] = []
        self.buried: list[Process] = []
        self._numbers = count(1)
        self.over = False
        self.held = False
        """Nobody starts a worker: a person is at work."""
        self.recreates = False
        """Whether the topic of the events is made anew at the end."""
        self.refused = False
        """A worker refused to start since Postgres went back in time."""

    def note(self, text: str) -> None:
        """Add a line to the story."""
        process = current_process()
        who = process.name if process else "-"
        self.story.append(f"{asyncio.get_running_loop().time():9.3f} {who:>8} {text}")

    def _latency(self) -> float:
        usual = self._delays.uniform(0.0002, 0.004)
        return usual if self._delays.random() < 0.97 else usual * 50

    # Workers.

    def add_node(self) -> Node:
        """Make a name, and start its first process."""
        node = Node(f"w{len(self.nodes)}")
        self.nodes.append(node)
        self.start(node)
        return node

    def start(self, node: Node) -> None:
        """Start a process under the name of *node*."""
        process = node.process = Process(f"{node.name}.{next(self._numbers)}")
        self.buried.append(process)
        node.stopping, node.worker, node.members = False, None, []
        node.task = process.start(self._run(node, process))
        node.task.add_done_callback(lambda task: self._ended(node, process, task))
        self.note(f"START {process}")

    async def _run(self, node: Node, process: Process) -> None:
        worker = self._assemble(node, process)
        node.worker = worker
        if node.stopping:
            worker.stop()
        await worker.run()

    def _ended(self, node: Node, process: Process, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.kafka.sealed:
            return
        error = task.exception()
        self.note(f"END {process} {error!r}")
        self.refused = any(isinstance(leaf, StoreWentBackError) for leaf in _leaves(error))
        if error is not None and not self.refused and not _is_outage_at_start(error):
            self.oracle.breaks(f"{process} ended with {error!r}: {_leaves(error)}")
        self.note_left_behind(process)
        process.kill()  # whatever is left of it ends with it
        if node.process is process:
            node.process = None

    def note_left_behind(self, process: Process) -> None:
        """Hold an ended process to having ended all it began."""
        left = [t for t in process.tasks if not t.done() and t is not asyncio.current_task()]
        members = [t for t in left if "FakeMember" not in repr(t.get_coro())]
        if members:
            self.oracle.breaks(f"{process} ended, and left {members}")

    def _assemble(self, node: Node, process: Process) -> Worker:
        scenario = self.scenario
        store = FakeStore(self.database, seconds=STORE_SECONDS)
        sender = SigningSender(
            client=FakeHttp(self.internet),
            clock=self.clock,
            user_agent="simulation",
            randbytes=random.Random(f"{scenario.seed}/{process.name}").randbytes,
        )

        def make_member() -> FakeMember:
            member = FakeMember(self.kafka, instance=node.name, topics=(EVENTS, MASTER))
            member.letting_go = lambda: self.moves(process, scenario.limits.revoke)  # type: ignore[method-assign]
            node.members.append(member)
            return member

        producer = FakeProducer(self.kafka)
        attempts = Attempts(
            producer=producer,
            topic=ATTEMPTS,
            worker=node.name,
            bounds=ATTEMPTS_BOUNDS,
            clock=self.clock,
            entropy=random.Random(f"{scenario.seed}/{process.name}/run").randbytes,
        )
        ports = Ports(
            make_member=make_member,
            offsets=FakeOffsets(self.kafka),
            producer=producer,
            make_reader=lambda: FakeLogReader(self.kafka),
            partitions=store,
            lanes=store,
            retries=store,
            replays=FakeReplays(self.database),
            subscriptions=store,
            geofences=FakeGeofences(self.database, seconds=STORE_SECONDS),
            health=store,
            trouble=FakeTrouble(self.database, seconds=STORE_SECONDS),
            operations=store,
            counts=FakeMatchCounts(self.database, seconds=STORE_SECONDS),
            sender=_Watched(sender, self, process),
            clock=self.clock,
            attempts=attempts,
            chance=random.Random(f"{scenario.seed}/{process.name}/chance").random,
        )
        options = Options(
            worker=node.name,
            quarantine_topic=QUARANTINE,
            schedule=scenario.schedule,
            max_in_flight=scenario.max_in_flight,
            max_in_flight_per_subscription=scenario.max_in_flight,
            max_record_bytes=1 << 20,
            drain_seconds=scenario.drain_seconds,
            tells=Partition(MASTER, 0),
        )
        return assemble(ports, options, scenario.limits, extras=[attempts.run])

    def moves(self, process: Process, seconds: float) -> None:
        """Note that *process* lets go, and waits for answers for *seconds*."""
        now = self.clock.monotonic()
        self.oracle.troubles.append(Trouble(now, now + seconds, "lets go", process, seconds))

    def stop(self, node: Node) -> None:
        """Send SIGTERM."""
        node.stopping = True
        if node.process is not None:
            self.moves(node.process, self.scenario.drain_seconds)
        if node.worker is not None:
            node.worker.stop()

    # Subscriptions and events.

    def subscribe(self, manner: Manner) -> SubscriptionId:
        """Make a subscription with a receiver of its own."""
        number = next(self._numbers)
        url = f"https://{number}.example.com/{manner.value.replace(' ', '-')}"
        chance = random.Random(f"{self.scenario.seed}/{url}")
        self.internet.receivers[url] = Receiver(manner, chance)
        subscription = a_subscription(
            *self.chance.choice(PATTERNS),
            id_=f"{number:024x}",
            project=self.chance.choice(PROJECTS) if self.chance.random() < 0.3 else PROJECTS[0],
            url=url,
            max_in_flight=self.chance.choice([None, 1, 3]),
            timeout_seconds=self.chance.choice([1.0, 3.0]),
            ordered=self.chance.choice([Ordered.NONE, Ordered.KEY]),
            on_exhausted=self.chance.choice(list(OnExhausted)),
            delivery=self.chance.choice([EACH, EACH, EACH, BATCH]),
            begins_ms=int(EPOCH.timestamp() * 1000),
            version=1,
        )
        subscription = self._of_fleet(subscription)
        starts = self._starts(
            subscription.id,
            StartKind.NEW,
            lambda log: log.end if self.chance.random() < 0.7 else log.start,
        )
        if all(start.offset == self.kafka.logs[start.partition].end for start in starts):
            subscription = replace(subscription, begins_ms=int(self.clock.time() * 1000))
        self.database.subscribe(subscription, starts=starts)
        self.oracle.subscribed(subscription, starts)
        if manner is Manner.HOPELESS:
            self.oracle.hopeless.add(subscription.id)
        self.note(f"SUBSCRIBE {subscription} {manner}")
        return subscription.id

    def _of_fleet(self, subscription: Subscription) -> Subscription:
        """Have some want positions, most of them the latest alone."""
        if not self.has_fleet or self._fleet.random() < 0.4:
            return subscription
        types = self._fleet.choice(POSITIONS)
        if self._fleet.random() < 0.2:
            return self._of_age(replace(subscription, types=types))
        self.oracle.latest.add(subscription.id)
        every = self.latest.every[subscription.id] = self._fleet.choice([0.3, 1.0, 2.0])
        grouping = Grouping(Mode.LATEST, every_seconds=every)
        return replace(subscription, types=types, delivery=grouping, ordered=Ordered.NONE)

    def _of_age(self, subscription: Subscription) -> Subscription:
        """Have every other one want no positions that are too old, as long as there are newer ones."""
        number = int(subscription.id, 16)
        if number % 2:
            return subscription
        limit = self.oracle.limits[subscription.id] = (0.5, 2.0)[number % 4 // 2]
        limits = ((POSITION, limit),)
        return replace(subscription, max_age_seconds=limits, ordered=Ordered.NONE)

    def regroup(self, id_: SubscriptionId) -> None:
        """Change how often positions come, or whether the latest alone does, as an owner may."""
        types = self.database.tables.subscriptions[id_].types
        if not self.has_fleet or POSITION not in types or self._fleet.random() < 0.5:
            return
        every = self._fleet.choice([0.3, 1.0, 3.0])
        grouping = self._fleet.choice([EACH, BATCH, Grouping(Mode.LATEST, every_seconds=every)])
        orders = [Ordered.NONE] if grouping.mode is Mode.LATEST else list(Ordered)
        self.oracle.latest.add(id_)
        self.latest.every.pop(id_, None)
        order = self._fleet.choice(orders)
        self.change(id_, delivery=grouping, ordered=order, max_age_seconds=())

    def change(self, id_: SubscriptionId, **fields: object) -> None:
        """Change a subscription, as its owner does."""
        before = self.database.tables.subscriptions[id_]
        self.database.subscribe(replace(before, version=before.version + 1, **fields))
        self.note(f"CHANGE {id_} {fields}")

    def set_status(self, id_: SubscriptionId, status: Status) -> None:
        """Pause or resume a subscription."""
        self.change(id_, status=status)

    def rewind(self, id_: SubscriptionId, *, now: bool) -> None:
        """Have a subscription go on at the end of the log, or from somewhere in it, as its owner does."""
        starts = self._starts(
            id_,
            StartKind.REWIND,
            lambda log: log.end if now else self.chance.randint(log.start, log.end),
        )
        self._begin_anew(id_, starts, status=Status.ACTIVE)

    def widen(self, id_: SubscriptionId) -> None:
        """Add all types to a subscription, as its owner does."""
        starts = self._starts(id_, StartKind.TYPES, lambda log: log.end)
        streams = POSITION in self.database.tables.subscriptions[id_].types
        self._begin_anew(id_, starts, types=("*", POSITION) if streams else ("*",))
        for _ in range(self.chance.randrange(8)):
            self.produce()  # before a worker hears of it

    def _begin_anew(self, id_: SubscriptionId, starts: Sequence[Start], **fields: object) -> None:
        before = self.database.tables.subscriptions[id_]
        after = replace(before, version=before.version + 1, epoch=before.epoch + 1, **fields)
        self.note(f"ANEW {id_} {starts}")
        self.oracle.begins_anew(before, starts, self.clock.monotonic())
        self.database.subscribe(after, starts=starts)

    def _starts(
        self, id_: SubscriptionId, kind: StartKind, where: Callable[[Log], int]
    ) -> list[Start]:
        return [
            Start(partition=partition, subscription_id=id_, offset=where(log), kind=kind)
            for partition, log in self.kafka.logs.items()
            if partition.topic != QUARANTINE
        ]

    def recreate(self) -> None:
        """Make the topic of the events anew, and write a little to it."""
        self.note("RECREATE")
        for partition in [p for p in self.kafka.logs if p.topic == EVENTS]:
            self.kafka.logs[partition] = Log()
            row = self.database.tables.partitions.get(partition)
            if self.chance.random() < 0.5:
                self.kafka.group.offsets.pop(partition, None)
            self.oracle.forget(partition)
            for _ in range(min(3, (row and row.committed) or 0) - 1):
                self.produce(partition)
        self.oracle.passed_over(EVENTS)

    def produce(self, partition: Partition | None = None) -> None:
        """Write a record to the log: mostly an event, now and then something else."""
        number = next(self._numbers)
        partition = partition or Partition(EVENTS, self.chance.randrange(self.scenario.partitions))
        kind = self.chance.random()
        token, type_, project = (
            f"t{number}",
            self.chance.choice(TYPES),
            self.chance.choice(PROJECTS),
        )
        body = {
            "type": type_,
            "created_at": "2026-01-05T08:00:00.000Z",
            "project_id": project,
            "data": {"token": token},
        }
        if kind < 0.8:
            body["id"] = f"{number:024x}"
        value: bytes | None = orjson.dumps(body)
        is_event = True
        if kind > 0.97:
            value, is_event = b"no json", False
        elif kind > 0.95:
            partition, value, is_event = Partition(MASTER, 0), None, False
        elif kind > 0.93:
            self.kafka.skip(partition, self.chance.randrange(1, 4))
        position = self.kafka.append(
            partition,
            value,
            key=f"{project}:{number % 5}".encode(),
            headers=[("token", token.encode())],
            timestamp_ms=int(self.clock.time() * 1000),
        )
        record = self.kafka.logs[partition].records[-1]
        due = tuple(self._due(type_, project)) if is_event else ()
        self.note(f"PRODUCE {position} {type_ if is_event else 'no event'} {token} due to {due}")
        self.oracle.produce(
            Produced(
                token=token,
                record=record,
                type=type_ if is_event else None,
                webhook_id=str(body.get("id") or derived_id(record)),
                due=due,
                project=project,
                quarantined=value is not None and not is_event,
            )
        )

    def report(self) -> None:
        """Write positions to the log, now and then, some of them late."""
        while self.has_fleet and self._fleet.random() < 0.6:
            self._report()

    def _report(self) -> None:
        number, project = next(self._numbers), self._fleet.choice(PROJECTS)
        late = self._fleet.choice([0.0, 0.0, self._fleet.uniform(0, LATE_SECONDS)])
        taken, written_ms = self.clock.time() - late, int(self.clock.time() * 1000)
        token, id_ = f"t{number}", f"{number:024x}"
        body = {
            "type": POSITION,
            "id": id_,
            "created_at": datetime.fromtimestamp(taken, tz=UTC).isoformat(),
            "project_id": project,
            "data": {"token": token},
        }
        vehicle = self._fleet.randrange(3)
        partition = Partition(EVENTS, vehicle % self.scenario.partitions)
        position = self.kafka.append(
            partition,
            orjson.dumps(body),
            key=f"{project}:{vehicle}".encode(),
            headers=[("token", token.encode())],
            timestamp_ms=written_ms,
        )
        fix = min(round(taken, 6), written_ms / 1000)
        due = tuple(self._due(POSITION, project))
        self.note(f"REPORT {position} of {fix:.3f} {token} due to {due}")
        self.oracle.produce(
            Produced(
                token=token,
                record=self.kafka.logs[partition].records[-1],
                type=POSITION,
                webhook_id=id_,
                due=due,
                project=project,
                quarantined=False,
                fix=fix,
            )
        )

    def _due(self, type_: str, project: str) -> Iterable[SubscriptionId]:
        for subscription in self.database.tables.subscriptions.values():
            if wants(subscription, type_, project):
                yield subscription.id

    # The end.

    def heal(self) -> None:
        """End all that is wrong."""
        self.note("HEAL")
        self.kafka.loses = self.database.loses = lambda: False
        self.kafka.go(State.UP)
        self.database.go(State.UP)
        for receiver in self.internet.receivers.values():
            receiver.behaves = True
        for node in self.nodes:
            if node.process is not None and node.process.asleep:
                node.process.wake()

    def cure(self) -> None:
        """End what never ended by itself: while a breaker is open, what waits uses up no attempts."""
        for receiver in self.internet.receivers.values():
            if receiver.manner is Manner.HOPELESS:
                receiver.manner = Manner.OK

    def revive(self) -> None:
        """Resume what was paused or disabled."""
        for id_, subscription in list(self.database.tables.subscriptions.items()):
            if subscription.status is not Status.ACTIVE:
                self.set_status(id_, Status.ACTIVE)

    def release(self) -> None:
        """Free the keys that wait for a person, one way or the other."""
        for row in list(self.database.tables.retries.values()):
            if row.waits_for is Waits.PERSON:
                key = row.delivery.order or row.delivery.key or ""
                skip = self.chance.random() < 0.5
                before = self._given_up()
                self.database.release_key(row.delivery.subscription_id, key, skip=skip)
                self.oracle.released |= self._given_up() - before
                self.note(f"RELEASE {row.delivery!r} skip {skip}")

    def _given_up(self) -> set[Pair]:
        """Return what is to be buried without another attempt."""
        rows = [row for row in self.database.tables.retries.values() if row.skip]
        return {pair for row in rows for pair in self.oracle.pairs_of(row.delivery)}

    async def finish(self) -> None:
        """Wait until everything is delivered; say what isn't."""
        until = self.clock.monotonic() + FINISH_SECONDS
        while left := self.oracle.unfinished():
            self.oracle.raise_broken()
            if self.clock.monotonic() > until:
                self.describe()
                self.oracle.breaks(f"{len(left)} not finished in {FINISH_SECONDS} s: {left[:8]}")
                break
            if self.clock.monotonic() > until - FINISH_SECONDS / 2:
                self.cure()
            self.revive()
            self.release()
            await asyncio.sleep(0.5)
        self._judge_keys()
        self.oracle.raise_broken()

    def _judge_keys(self) -> None:
        """Hold workers to knowing the keys of what they own and of nothing else."""
        for node in self.nodes:
            if node.worker is not None and node.process is not None:
                mine = {owned.partition for owned in node.worker._partitions.all()}
                known = {key.partition for key in node.worker._outboxes._order._lines}
                if left := known - mine:
                    self.oracle.breaks(f"{node.process} keeps keys of {left}, which it let go of")

    def describe(self) -> None:
        """Add to the story what each worker holds."""
        for node in self.nodes:
            if node.worker is not None:
                worker, parking = node.worker, node.worker._ownership._parking
                self.note(f"{node.process} ready: {worker.ready}")
                for owned in worker._partitions.all():
                    self.note(f"  {owned!r} paused {owned.paused} open {owned.tracker._open}")
                    for lane in owned.lanes.values():
                        self.note(f"    {lane!r} {lane.reason} flying {lane.flying} {lane.scan}")
                for outbox in worker._outboxes._outboxes.values():
                    self.note(f"  {outbox!r} limit {outbox.limit} held {outbox.held_until}")
                for key, line in worker._outboxes._order._lines.items():
                    self.note(f"  {key} {line!r}")
                for name in ("_pending", "_held"):
                    self.note(f"  parking{name} {getattr(parking, name)}")
        self.note(f"group {self.kafka.group}")

    async def stop_all(self) -> None:
        """Stop every worker gracefully, and wait for the end."""
        tasks = []
        for node in self.nodes:
            node.wanted = False
            if node.process is not None and node.task is not None:
                self.stop(node)
                tasks.append(node.task)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=60)
            if late:
                self.oracle.breaks(f"did not stop within 60 s: {late}")
        self.oracle.raise_broken()

    async def bury(self) -> None:
        """End all processes; nothing they do is heard any more."""
        self.over = True
        self.kafka.sealed = self.database.sealed = True
        for process in self.buried:
            await process.bury()


class _Watched:
    """A sender under the eyes of the oracle."""

    def __init__(self, sender: Sender, world: World, process: Process) -> None:
        self._sender = sender
        self._order = world.order
        self._latest = world.latest
        self._oracle = world.oracle
        self._process = process

    async def deliver(
        self, delivery: Delivery, subscription: Subscription, *, waited: float = 0.0
    ) -> Attempt:
        """Make one request."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._oracle.flies(self._process, delivery, began)
        self._order.flies(self._process, delivery)
        self._latest.flies(self._process, delivery, began)
        attempt = await self._sender.deliver(delivery, subscription, waited=waited)
        self._order.lands(self._process, delivery)
        self._latest.lands(self._process, delivery, attempt)
        self._oracle.lands(self._process, delivery, attempt, began=began, now=loop.time())
        return attempt


def _leaves(error: BaseException | None) -> Collection[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


def _is_outage_at_start(error: BaseException) -> bool:
    """A worker that finds no Postgres or Kafka when it starts tells whoever started it."""
    leaves = _leaves(error)
    if isinstance(error, StoreGoneError):
        return True
    return all(isinstance(leaf, BrokerGoneError) for leaf in leaves)
