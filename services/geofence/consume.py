"""The group's partitions of positions: restore what is known, then read, judge, write, commit."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

import orjson
import structlog

from services import catalogue
from services.geofence.judge import Bounds, Fences, judge, who_of
from services.geofence.vehicle import Vehicle
from services.kernel.clock import Clock
from services.kernel.errors import (
    BrokerGoneError,
    CommitRefusedError,
    MembershipLostError,
    OutOfLogError,
)
from services.kernel.event import Batch, Event, Json, Partition, Poison, Record
from services.kernel.ids import ProjectId
from services.kernel.ports.broker import Commit, LogReader, Member, Offsets, Producer
from services.observe import metrics

log = structlog.get_logger()

RECORDS = 500
SLICE = 100
"""Positions that are judged at a stretch: a millisecond."""
RESTORED = 2_000
WAIT = timedelta(seconds=0.2)
AGAIN_SECONDS = 1.0
METADATA = "v1"
"""Ours is never empty: an empty one means that a person reset the group."""
STORE_MS = 60_000
"""What changed nothing but the place is written so often; until then its offset isn't committed."""
FORGET_MS = 30 * 86_400_000
"""Without a position a vehicle is forgotten."""
POSITION = "vehicle.position"

Vehicles = dict[str, Vehicle]
Transitions = dict[str, list[tuple[Record, Json]]]
"""By vehicle, each with the position that caused it."""


class Drift(NamedTuple):
    """What a state that is written doesn't include yet: a place and its time."""

    offset: int
    """Of the first position that it lacks."""
    since_ms: int


class Held:
    """One partition of positions, from when it is given to us to when it is taken away.

    One that goes and comes back is another: what was read for the first may be out of date.
    """

    def __init__(self) -> None:
        self.restored = False
        self.vehicles: Vehicles = {}
        self.position = 0
        """Where it is read on."""
        self.committed = 0
        self.drifting: dict[str, Drift] = {}
        """The lowest offset first."""

    def begin(self, vehicles: Vehicles, position: int) -> None:
        """Take what is known of its vehicles, and where it is read on."""
        self.vehicles, self.position, self.committed = vehicles, position, position
        self.restored = True

    @property
    def settled(self) -> int:
        """What may be committed: who reads on from there knows all that is known here."""
        first = next(iter(self.drifting.values()), None)
        return self.position if first is None else first.offset

    def overdue(self, now_ms: int) -> Vehicles:
        """Return those that have drifted for long enough to be written; they drift no more."""
        found = {}
        for id_, drift in list(self.drifting.items()):
            if now_ms - drift.since_ms < STORE_MS:
                break
            del self.drifting[id_]
            found[id_] = self.vehicles[id_]
        return found


class Geofencer:
    """Reads what the group gives it, and says who entered and left which fence."""

    def __init__(
        self,
        *,
        make_member: Callable[[], Member],
        make_reader: Callable[[], LogReader],
        offsets: Offsets,
        producer: Producer,
        decode: Callable[[Record], Event | Poison | None],
        fences: Callable[[ProjectId], Fences],
        state_topic: str,
        bounds: Bounds,
        clock: Clock,
    ) -> None:
        self._make_member = make_member
        self._member = make_member()
        self._make_reader = make_reader
        self._offsets = offsets
        self._producer = producer
        self._decode = decode
        self._fences = fences
        self._state_topic = state_topic
        self._bounds = bounds
        self._clock = clock
        self._owned: dict[Partition, Held] = {}
        """By partition of positions."""
        self._stopping = False
        self._waits: str | None = "has no partitions yet"

    @property
    def trouble(self) -> str | None:
        """Return None while all is well, else what isn't."""
        if self._waits is None and not all(held.restored for held in self._owned.values()):
            return "reads what is known of vehicles"
        return self._waits

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    async def assigned(self, partitions: Collection[Partition]) -> None:
        """Take *partitions*, once what is known of their vehicles is read."""
        self._owned.update((partition, Held()) for partition in partitions)
        self._waits = None
        log.info("geofence_assigned", partitions=len(partitions))

    async def revoked(self, partitions: Collection[Partition]) -> None:
        """Let go of *partitions*: whoever has them next judges again what isn't committed."""
        for partition in partitions:
            self._owned.pop(partition, None)

    async def run(self) -> None:
        """Judge what comes until stopped."""
        while not self._stopping:
            try:
                await self._member.start(self)
                await self._read()
            except (MembershipLostError, BrokerGoneError) as error:
                await self._wait(error)
            finally:
                await self._member.stop()
                self._owned.clear()
            if not self._stopping:
                self._member = self._make_member()

    async def _read(self) -> None:
        while not self._stopping:
            for partition, held in list(self._owned.items()):
                if not held.restored:
                    await self._restore(partition, held)
            batches = await self._member.poll(limit=RECORDS, wait=WAIT)
            now_ms = self._now_ms()
            for partition, held in list(self._owned.items()):
                if held.restored:
                    batch = batches.get(partition) or Batch((), held.position)
                    await self._take(partition, held, batch, now_ms)

    def _owns(self, partition: Partition, held: Held) -> bool:
        """Tell whether *held* still stands: ask after every await."""
        return self._owned.get(partition) is held

    async def _restore(self, partition: Partition, held: Held) -> None:
        """Read what is known of a partition's vehicles, then begin where the group stands.

        Raises BrokerGoneError.
        """
        vehicles: Vehicles = {}
        state = Partition(self._state_topic, partition.number)
        reader = self._make_reader()
        try:
            bounds = (await self._offsets.bounds([state]))[state]
            at = bounds.start
            while at < bounds.end and self._owns(partition, held):
                batch = (await reader.read({state: at}, limit=RESTORED, wait=WAIT)).get(state)
                if batch is not None:
                    _remember(vehicles, batch.records)
                    at = batch.next_offset
        except OutOfLogError as error:
            raise BrokerGoneError(str(error)) from error  # begun anew
        finally:
            await reader.stop()
        begin = await self._begin(partition)
        if self._owns(partition, held):
            held.begin(vehicles, begin)
            self._member.seek(partition, begin)
            log.info("geofence_restored", partition=str(partition), vehicles=len(vehicles))

    async def _begin(self, partition: Partition) -> int:
        """Return where to read on: of a log that was never read, at its end.

        Who came and went in the days before is nobody's news.
        """
        bounds = (await self._offsets.bounds([partition]))[partition]
        committed = (await self._offsets.committed([partition])).get(partition)
        if committed is None:
            await self._member.commit({partition: Commit(bounds.end, METADATA)})
            return bounds.end
        if bounds.start <= committed.offset <= bounds.end:
            return committed.offset
        log.error(
            "geofence_gap", partition=str(partition), committed=committed.offset, **bounds._asdict()
        )
        return bounds.start

    async def _take(self, partition: Partition, held: Held, batch: Batch, now_ms: int) -> None:
        """Judge a batch, which may be empty, and write what follows."""
        transitions: Transitions = {}
        changed: dict[str, Vehicle | None] = {**held.overdue(now_ms)}
        for n, record in enumerate(batch.records, start=1):
            if record.position.offset >= held.position:  # else fetched before it was sought
                self._judge(record, held, transitions, changed, now_ms)
            if n % SLICE == 0:
                await asyncio.sleep(0)
        if not await self._written(partition, held, transitions, changed):
            return
        held.position = max(held.position, batch.next_offset)
        if held.settled != held.committed:
            held.committed = held.settled
            await self._commit(partition, held.settled)

    def _judge(
        self,
        record: Record,
        held: Held,
        transitions: Transitions,
        changed: dict[str, Vehicle | None],
        now_ms: int,
    ) -> None:
        event = self._decode(record)
        if not isinstance(event, Event) or event.type != POSITION:
            return
        id_, offset = f"{event.project_id}:{who_of(event)}", record.position.offset
        before = held.vehicles.get(id_)
        if before is not None and offset <= before.offset:
            return  # it was judged before a crash
        fences = self._fences(ProjectId(event.project_id))
        if not len(fences):
            # Nothing is kept where there is nothing to say; the first fence finds nobody outside.
            if held.vehicles.pop(id_, None) is not None:
                held.drifting.pop(id_, None)
                changed[id_] = None
            return
        judged = judge(before, event, fences, self._bounds)
        metrics.POSITIONS_JUDGED.counts[judged.verdict.value] += 1
        vehicle = judged.vehicle
        if vehicle is None or not judged.verdict.counts:
            return
        held.vehicles[id_] = vehicle
        vehicle.offset = offset
        transitions.setdefault(id_, []).extend((record, each) for each in judged.transitions)
        if judged.changed or id_ in changed:
            changed[id_] = vehicle
            held.drifting.pop(id_, None)
        else:
            held.drifting.setdefault(id_, Drift(offset, now_ms))

    def _now_ms(self) -> int:
        return round(self._clock.time() * 1000)

    async def _written(
        self,
        partition: Partition,
        held: Held,
        transitions: Transitions,
        changed: Mapping[str, Vehicle | None],
    ) -> bool:
        """Write transitions, then states, however long Kafka is away; False: we let go meanwhile."""
        return (
            await _all(
                self._say(partition, held, of_one) for of_one in transitions.values() if of_one
            )
            and await _all(self._store(partition, held, id_, each) for id_, each in changed.items())
            and self._owns(partition, held)
        )

    async def _say(
        self, partition: Partition, held: Held, transitions: Iterable[tuple[Record, Json]]
    ) -> bool:
        """Write what happened to one vehicle, in order."""
        for record, event in transitions:
            key = record.key or (catalogue.record_key(event) or "").encode()
            value = orjson.dumps(event)
            if not await self._produce(partition.topic, partition, held, key=key, value=value):
                return False
            metrics.GEOFENCE_TRANSITIONS.counts[event["type"].rpartition(".")[2]] += 1
        return True

    async def _store(
        self, partition: Partition, held: Held, id_: str, vehicle: Vehicle | None
    ) -> bool:
        value = None if vehicle is None else vehicle.encode()
        return await self._produce(
            self._state_topic, partition, held, key=id_.encode(), value=value
        )

    async def _produce(
        self, topic: str, partition: Partition, held: Held, *, key: bytes, value: bytes | None
    ) -> bool:
        while self._owns(partition, held) and not self._stopping:
            try:
                await self._producer.produce(
                    topic, key=key, value=value, partition=partition.number
                )
            except BrokerGoneError as error:
                await self._wait(error)
            else:
                self._waits = None
                return True
        return False

    async def _commit(self, partition: Partition, offset: int) -> None:
        try:
            await self._member.commit({partition: Commit(offset, METADATA)})
        except (
            CommitRefusedError,
            BrokerGoneError,
        ) as error:  # what isn't committed is judged again
            log.info("geofence_not_committed", partition=str(partition), error=str(error))

    async def forget(self) -> None:
        """Forget vehicles that send nothing any more, once an hour, until cancelled."""
        while True:
            await self._clock.sleep(3600.0)
            before = self._now_ms() - FORGET_MS
            for partition, held in list(self._owned.items()):
                known = held.vehicles
                for id_ in [id_ for id_, each in known.items() if each.at_ms < before]:
                    if known[id_].at_ms < before and await self._store(partition, held, id_, None):
                        del known[id_]

    async def _wait(self, error: Exception) -> None:
        self._waits = str(error)
        log.warning("geofence_waits", error=str(error))
        await self._clock.sleep(AGAIN_SECONDS)


async def _all(work: Iterable[Coroutine[Any, Any, bool]]) -> bool:
    """Do all of it at once; tell whether all of it was done."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
    return all(task.result() for task in tasks)


def _remember(vehicles: Vehicles, records: Iterable[Record]) -> None:
    """Take in states as they were written; a zombie's late one has a lower offset."""
    for record in records:
        id_ = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            vehicles.pop(id_, None)
            continue
        try:
            read = Vehicle.decode(record.value)
        except ValueError as error:
            log.warning(
                "geofence_state_unreadable", position=str(record.position), error=str(error)
            )
            continue
        known = vehicles.get(id_)
        if known is None or known.offset <= read.offset:
            vehicles[id_] = read
