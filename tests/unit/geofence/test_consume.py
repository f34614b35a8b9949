"""A crash between any two effects repeats ids; it loses nothing, and says nothing that isn't so."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import orjson
import pytest

from services.feed.decode import Decoder
from services.geofence.consume import Geofencer
from services.geofence.judge import Bounds, Fences
from services.geofence.vehicle import Vehicle
from services.kernel.clock import Clock, SystemClock
from services.kernel.event import Batch, Json, Partition, Position, Record
from services.kernel.ports import broker
from services.kernel.ports.broker import Commit, MemberListener
from services.match.fences import NO_FENCES
from tests.support.drives import a_drive, zones

POSITIONS, STATES = Partition("planner.positions", 0), Partition("webhooks.geofence", 0)
DECODE = Decoder(max_bytes=1 << 20).decode


class DiedError(Exception):
    """kill -9, as far as the process can tell."""


@dataclass
class Log:
    """What outlives a process: both topics, and the group's offset."""

    positions: list[Record]
    states: list[Record] = field(default_factory=list)
    committed: Commit | None = field(default_factory=lambda: Commit(0, "v1"))
    said: list[Json] = field(default_factory=list)
    effects: int = 0
    dies_at: int | None = None

    def effect(self) -> None:
        """Count what is about to take effect; die instead if it is its turn."""
        if self.effects == self.dies_at:
            raise DiedError
        self.effects += 1


class Kafka:
    """All ports of one process, on one log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.reads_at = 0
        self.idle = 0
        self.geofencer: Geofencer

    async def start(self, listener: MemberListener) -> None:
        await listener.assigned([POSITIONS])

    async def poll(
        self,
        *,
        limit: int,  # noqa: ARG002 - fewer, so that there are many batches
        wait: timedelta,  # noqa: ARG002 - all is there
    ) -> Mapping[Partition, Batch]:
        records = self.log.positions[self.reads_at : self.reads_at + 20]
        if not records:
            self.idle += 1
            if self.idle > 1:
                self.geofencer.stop()
            return {}
        self.reads_at += len(records)
        return {POSITIONS: Batch(records, self.reads_at)}

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        self.log.effect()
        self.log.committed = commits[POSITIONS]

    def seek(self, partition: Partition, offset: int) -> None:
        assert partition == POSITIONS
        self.reads_at = offset

    def silence(self) -> float:
        return 0.0

    def share(self) -> float:
        return 1.0

    def pause(self, partitions: Collection[Partition]) -> None:
        raise NotImplementedError

    def resume(self, partitions: Collection[Partition]) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        return

    async def committed(self, _: Collection[Partition]) -> Mapping[Partition, Commit | None]:
        return {POSITIONS: self.log.committed}

    async def partitions(self, topics: Collection[str]) -> Sequence[Partition]:
        raise NotImplementedError

    async def bounds(self, partitions: Collection[Partition]) -> Mapping[Partition, broker.Bounds]:
        known = {POSITIONS: self.log.positions, STATES: self.log.states}
        return {p: broker.Bounds(0, len(known[p])) for p in partitions}

    async def retention(self, topics: Collection[str]) -> Mapping[str, timedelta | None]:
        raise NotImplementedError

    async def at(
        self, partitions: Collection[Partition], moment_ms: int
    ) -> Mapping[Partition, int]:
        raise NotImplementedError

    async def read(
        self,
        positions: Mapping[Partition, int],
        *,
        limit: int,  # noqa: ARG002
        wait: timedelta,  # noqa: ARG002
    ) -> Mapping[Partition, Batch]:
        found = self.log.states[positions[STATES] :][:50]
        return {STATES: Batch(found, positions[STATES] + len(found))}

    async def produce(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]] = (),  # noqa: ARG002
        partition: int | None = None,
    ) -> Position:
        assert partition == POSITIONS.number, "where the vehicle's positions are"
        self.log.effect()
        if topic == STATES.topic:
            position = Position(STATES, len(self.log.states))
            self.log.states.append(Record(position=position, timestamp_ms=0, key=key, value=value))
            return position
        self.log.said.append(orjson.loads(value or b""))
        return Position(POSITIONS, -1)


class Later(SystemClock):
    """A clock that goes on by two minutes each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def time(self) -> float:
        self.asked += 1
        return super().time() + 120 * self.asked


async def run(
    log: Log,
    fences: Fences | None = None,
    clock: Clock | None = None,
    kafka: Kafka | None = None,
) -> None:
    """Run one process until it dies, or until all positions are read."""
    kafka = kafka or Kafka(log)
    kafka.geofencer = Geofencer(
        make_member=lambda: kafka,
        make_reader=lambda: kafka,
        offsets=kafka,
        producer=kafka,
        decode=DECODE,
        fences=lambda _: zones() if fences is None else fences,
        state_topic=STATES.topic,
        bounds=Bounds(),
        clock=clock or SystemClock(),
    )
    await kafka.geofencer.run()


def a_log(seed: int, positions: int = 120) -> Log:
    drive = a_drive(random.Random(seed), positions)
    return Log(
        [
            Record(
                position=Position(POSITIONS, offset),
                timestamp_ms=taken_ms,
                key=None,
                value=orjson.dumps(body),
            )
            for offset, (body, taken_ms) in enumerate(drive)
        ]
    )


def once(said: list[Json]) -> list[Json]:
    """Return each by its id, as it was said first; a repeat says the same."""
    found: dict[str, Json] = {}
    for each in said:
        assert found.setdefault(each["id"], each) == each
    return list(found.values())


def by_vehicle(said: list[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for each in said:
        found.setdefault(each["data"]["vehicle_id"], []).append(each)
    return found


@pytest.mark.timeout(60)
async def test_a_crash_between_any_two_effects_repeats_ids_and_loses_nothing() -> None:
    whole = a_log(7)
    await run(whole)
    assert len(whole.said) > 5
    for dies_at in range(whole.effects):
        log = a_log(7)
        log.dies_at = dies_at
        with pytest.raises((DiedError, ExceptionGroup)):
            await run(log)
        log.dies_at = None
        await run(log)
        assert by_vehicle(once(log.said)) == by_vehicle(whole.said), dies_at


async def test_nothing_is_said_again_by_who_reads_on_where_the_one_before_ended() -> None:
    log = a_log(8)
    rest, log.positions = log.positions[60:], log.positions[:60]
    await run(log)
    log.positions += rest
    await run(log)
    whole = a_log(8)
    await run(whole)
    assert by_vehicle(log.said) == by_vehicle(whole.said)


async def test_a_log_that_was_never_read_is_read_from_its_end() -> None:
    log = a_log(9)
    log.committed = None
    await run(log)
    assert log.said == []
    assert log.committed == Commit(len(log.positions), "v1"), "so that a crash skips nothing"


async def test_where_there_are_no_fences_nothing_is_kept() -> None:
    log = a_log(10)
    await run(log)
    log.committed = Commit(0, "v1")
    await run(log, NO_FENCES)
    latest = {record.key: record.value for record in log.states}
    assert latest
    assert set(latest.values()) == {None}


async def test_what_only_moved_is_written_after_a_minute_and_committed_then() -> None:
    log = a_log(12)
    await run(log)
    assert log.committed is not None
    lag = len(log.positions) - log.committed.offset
    assert lag > 0, "who moved since its last change is read again"
    await run(log, clock=Later())
    assert log.committed == Commit(len(log.positions), "v1")


async def test_a_zombies_late_state_does_not_win_over_a_newer_one() -> None:
    log = a_log(11)
    await run(log)
    newest = {record.key: record for record in log.states}
    for record in list(log.states):
        if record.value is not None:
            late = Vehicle.decode(record.value)
            late.offset -= 1
            log.states.append(
                Record(
                    position=record.position, timestamp_ms=0, key=record.key, value=late.encode()
                )
            )
    said = len(log.said)
    log.committed = Commit(
        min(Vehicle.decode(r.value or b"").offset for r in newest.values()), "v1"
    )
    await run(log)
    assert len(log.said) == said


async def test_a_partition_that_goes_and_comes_back_while_it_is_restored_is_restored_anew() -> None:
    log = a_log(17)
    rest, log.positions = log.positions[60:], log.positions[:60]
    await run(log)  # what another member has known until now
    states, said = list(log.states), len(log.said)
    kafka = Kafka(log)
    log.states = states[:1]  # and what is read of it first

    async def read(
        positions: Mapping[Partition, int], *, limit: int, wait: timedelta
    ) -> Mapping[Partition, Batch]:
        found = await Kafka.read(kafka, positions, limit=limit, wait=wait)
        if log.states != states:
            log.states = states
            await kafka.geofencer.revoked([POSITIONS])
            await kafka.geofencer.assigned([POSITIONS])
        return found

    kafka.read = read  # type: ignore[method-assign]
    log.positions += rest
    await run(log, kafka=kafka)
    whole = a_log(17)
    await run(whole)
    assert len(whole.said) > said
    assert by_vehicle(log.said) == by_vehicle(whole.said)
