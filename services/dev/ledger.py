"""What a chaos run came to: who was due what, who got it, and whether that is what was promised. Pure.

The farm's book says what receivers saw, the log what there was, Postgres what was given up, and the run
what it did to whom (`Disruption`). A repeat is explained by the newest of those that can explain it, by
the classes of the design's invariant 7; one that none explains is a fault.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from services.dev.farm import Entry

FLIGHT_SECONDS = 0.05
"""An answer this young may not have been read yet."""
COMMIT_SECONDS = 0.5
"""From an acknowledgement to its commit: 0.1 s, and what a busy machine adds. It tells two causes apart;
what takes longer is held to HELD_SECONDS."""
LANE_SECONDS = 1.5
"""From an acknowledgement to the cursor of its lane: 1 s, and the write."""
HELD_SECONDS = 4.0
"""What another receiver holds open is parked after 2 s, as soon as it is looked for; then follow its row
and a commit, and a busy machine takes its time for each of the three."""
REJOIN_SECONDS = 12.0
"""After Kafka is back, until the member commits again."""
REVOKE_SECONDS = 1.8
"""A revoke waits 2 s for requests; those that take longer are open when it ends."""
DRAIN_SECONDS = 10.0
WOKEN_SECONDS = 2.0
"""What had begun when a worker was stopped leaves when it wakes, however slow the machine is."""


class What(StrEnum):
    """What was done to the system."""

    KILL = "kill -9 of a worker"
    STOP = "graceful stop of a worker"
    FREEZE = "SIGSTOP of a worker"
    KAFKA = "kill -9 of Kafka"
    POSTGRES = "kill -9 of Postgres"
    RESET = "reset of offsets"


class Disruption(NamedTuple):
    """One fault. Unix seconds."""

    what: What
    began: float
    ended: float
    worker: str = ""
    """Empty: it concerns all."""

    def __str__(self) -> str:
        return f"{self.what} {self.worker} {self.began:.3f} to {self.ended:.3f}"


class Cause(StrEnum):
    """Why an event came again."""

    RESET = "moved by a person"  #: marked with `planner-replay` below what was committed
    IN_FLIGHT = "in flight"  #: its answer was not read any more
    SINCE_COMMIT = "since the last commit"  #: 0.1 s, longer while Kafka is away
    LANE = "since the lane was stored"  #: 1 s, longer while Postgres is away
    HELD = "held open for another"  #: of its offset somebody else's was open, for 2 s at most
    DRAINED = "open when a drain ended"  #: a revoke waits 2 s, a stop its drain time
    WOKEN = "a worker woke up"  #: it sent before it heard that it was replaced
    LATE = "answered too late"  #: beyond the subscription's own time limit, to the second
    UNEXPLAINED = "unexplained"  #: beyond invariant 7


class Ack(NamedTuple):
    """A request that was acknowledged."""

    began: float
    ended: float
    worker: str
    sent: int
    """When the worker began it, cut to the second."""
    attempt: int = 1


class Repeat(NamedTuple):
    """A request with what had been acknowledged."""

    slot: int
    number: int
    before: Ack
    again: Entry


@dataclass
class Receiver:
    """One subscription of the run, at `/<slot>/<personality>` of the farm."""

    slot: int
    personality: str
    ordered: bool = False
    wants: Callable[[int], bool] = lambda _: True
    """Tells by its number whether an event is of its types."""
    first: int = 0
    """Number of the first event after the API answered 201."""
    timeout: float = 3.0
    """The most that an ordered request may take with the run's session; others may as well."""
    id: str = ""

    def is_due(self, number: int) -> bool:
        """Tell whether an event is due to it."""
        return number >= self.first and self.wants(number)


@dataclass
class Ends:
    """How deliveries ended that were not acknowledged, as Postgres has it: (slot, number)."""

    dead: set[tuple[int, int]] = field(default_factory=set)
    gaps: set[tuple[int, int]] = field(default_factory=set)
    held: set[tuple[int, int]] = field(default_factory=set)
    """Below nobody's cursor: their subscription was disabled by 410."""
    waiting: set[tuple[int, int]] = field(default_factory=set)
    """A row or a lane still has it, or it isn't committed."""


class Ledger:
    """Takes the book's lines as they come."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        self._receivers = {receiver.slot: receiver for receiver in receivers}
        self.acks: dict[int, dict[int, Ack]] = defaultdict(dict)
        """The first of each number, by slot."""
        self.repeats: list[Repeat] = []
        self._last: dict[tuple[int, int], Ack] = {}
        self._begun: dict[int, dict[int, float]] = defaultdict(dict)
        self._ordered: dict[int, list[Entry]] = defaultdict(list)
        self.firsts: list[tuple[float, int, str]] = []
        """When each number was first asked for by a worker, in the order of the book."""

    def add(self, receiver: Receiver) -> None:
        """Take in a subscription that is made in the middle of the run."""
        self._receivers[receiver.slot] = receiver

    def take(self, entry: Entry) -> None:
        """Take in a line."""
        slot = entry.slot
        if self._receivers[slot].ordered:
            self._ordered[slot].append(entry)
        ok = 200 <= entry.status < 300  # noqa: PLR2004 - a success
        acks, begun = self.acks[slot], self._begun[slot]
        for number in entry.numbers:
            begun[number] = min(begun.get(number, entry.began), entry.began)
            before = self._last.get((slot, number)) or acks.get(number)
            if before is not None and (ok or entry.began > before.ended):
                self.repeats.append(Repeat(slot, number, before, entry))
            if ok:
                ack = Ack(entry.began, entry.ended, entry.worker, entry.sent, entry.attempt)
                if number in acks:
                    self._last[slot, number] = ack
                else:
                    acks[number] = ack
                    self.firsts.append((entry.began, number, entry.worker))

    def due(self, numbers: Collection[int]) -> Iterator[tuple[Receiver, set[int]]]:
        """Yield what is due to each receiver."""
        for receiver in self._receivers.values():
            yield receiver, {number for number in numbers if receiver.is_due(number)}

    def missing(self, numbers: Collection[int]) -> set[tuple[int, int]]:
        """Return what is due and was not acknowledged."""
        return {
            (receiver.slot, number)
            for receiver, due in self.due(numbers)
            for number in due - self.acks[receiver.slot].keys()
        }

    def causes(
        self, disruptions: Sequence[Disruption], *, in_lane: Callable[[int, float], bool]
    ) -> Counter[Cause]:
        """Count repeats by cause. *in_lane* tells whether a slot had a lane about that time."""
        return Counter(self.cause(each, disruptions, in_lane=in_lane) for each in self.repeats)

    def cause(
        self,
        repeat: Repeat,
        disruptions: Sequence[Disruption],
        *,
        in_lane: Callable[[int, float], bool],
    ) -> Cause:
        """Return why an event came again."""
        before, again = repeat.before, repeat.again
        if again.replay:
            return Cause.RESET
        lane = in_lane(repeat.slot, before.ended)
        for each in sorted(disruptions, key=lambda one: -one.began):
            if each.began <= again.began:
                found = _explained(before, again, each, disruptions, lane=lane)
                if found is not None:
                    return found
        if before.ended - before.sent >= self._receivers[repeat.slot].timeout:
            return Cause.LATE
        is_open_long = before.ended - before.began >= REVOKE_SECONDS
        return Cause.DRAINED if is_open_long else Cause.UNEXPLAINED

    def violations(
        self, in_order: Mapping[int, Sequence[int]], ends: Ends
    ) -> list[tuple[int, int, str]]:
        """Return (slot, number, why) of requests that overlap or overtake one of their key.

        *in_order* are the numbers of each key, as the log has them.
        """
        found: list[tuple[int, int, str]] = []
        for slot, entries in self._ordered.items():
            by_key: dict[int, list[Entry]] = defaultdict(list)
            key_of = {number: key for key, numbers in in_order.items() for number in numbers}
            for entry in entries:
                by_key[key_of[entry.numbers[0]]].append(entry)
            for key, asked in by_key.items():
                due = [n for n in in_order[key] if self._receivers[slot].is_due(n)]
                found += self._violations_of(slot, asked, due, ends)
        return found

    def _violations_of(
        self, slot: int, asked: list[Entry], due: Sequence[int], ends: Ends
    ) -> Iterator[tuple[int, int, str]]:
        acks, place = self.acks[slot], {number: at for at, number in enumerate(due)}
        given_up, through, ended = ends.dead | ends.gaps, 0, 0.0
        for entry in sorted(asked, key=lambda one: one.began):
            number = entry.numbers[0]
            if entry.began < ended:
                yield slot, number, "overlaps"
            ended = max(ended, entry.ended)
            while through < len(due) and (
                (slot, due[through]) in given_up
                or (due[through] in acks and acks[due[through]].ended <= entry.began)
            ):
                through += 1
            if place.get(number, 0) > through:
                yield slot, number, "overtakes"

    def latencies(
        self, produced: Mapping[int, float], *, between: tuple[float, float]
    ) -> Mapping[str, tuple[float, float]]:
        """Return p50 and p99 of each personality, seconds from produced to first asked for.

        Of events that were produced *between* two times.
        """
        found: dict[str, list[float]] = defaultdict(list)
        low, high = between
        for slot, begun in self._begun.items():
            found[self._receivers[slot].personality] += [
                at - produced[number]
                for number, at in begun.items()
                if low <= produced.get(number, 0.0) < high
            ]
        return {name: percentiles(seconds) for name, seconds in found.items() if seconds}

    def takeovers(
        self, partition_of: Mapping[int, int], disruptions: Iterable[Disruption]
    ) -> list[float]:
        """Return for each worker that was lost how long some partition of it was served by nobody.

        By requests for events that were not acknowledged before.
        """
        found = []
        for lost in disruptions:
            if lost.what not in (What.KILL, What.FREEZE):
                continue
            owned = {
                partition_of.get(number)
                for at, number, worker in self.firsts
                if worker == lost.worker and lost.began - HELD_SECONDS <= at <= lost.began
            }
            first = {
                partition: min(
                    (
                        at
                        for at, number, worker in self.firsts
                        if at > lost.began + FLIGHT_SECONDS
                        and partition_of.get(number) == partition
                    ),
                    default=None,
                )
                for partition in owned
            }
            waits = [at - lost.began for at in first.values() if at is not None]
            found += [max(waits)] if waits else []
        return found


def _explained(
    before: Ack, again: Entry, by: Disruption, disruptions: Sequence[Disruption], *, lane: bool
) -> Cause | None:
    """Return as what *by* explains that an event came again; None: it doesn't."""
    found: Cause | None = None
    match by.what:
        case What.RESET:
            # Above what was committed nothing is marked: the map of what was settled there is gone.
            # What had a row is sent from that, and read again all the same where its partition changes
            # hands before its lane has come to it.
            had_row = before.attempt > 1 and before.ended <= by.ended + REJOIN_SECONDS
            return Cause.RESET if had_row or before.ended <= by.ended else None
        case What.KAFKA:
            return _uncommitted(before, by, disruptions)
        case What.POSTGRES:
            return None
        case What.STOP:
            found = _left_by_a_drain(before, by)
        case What.FREEZE:
            found = _woken(before, again, by) or _lost(before, by, disruptions, lane=lane)
        case What.KILL:
            found = _lost(before, by, disruptions, lane=lane)
    # Partitions moved while Postgres was away: what nobody could park was open for all.
    since = _away_since((What.POSTGRES,), again.began, disruptions)
    moved = again.began > since >= by.began - REJOIN_SECONDS
    return found or (Cause.HELD if moved and since - before.ended <= HELD_SECONDS else None)


def _uncommitted(before: Ack, by: Disruption, disruptions: Sequence[Disruption]) -> Cause | None:
    if before.ended > by.ended + REJOIN_SECONDS:
        return None
    if by.began - before.ended <= COMMIT_SECONDS:
        return Cause.SINCE_COMMIT
    since = _away_since((What.KAFKA, What.POSTGRES), by.began, disruptions)
    return Cause.HELD if since - before.ended <= HELD_SECONDS else None


def _left_by_a_drain(before: Ack, by: Disruption) -> Cause | None:
    seconds = before.ended - max(by.began, before.began)
    is_late = by.worker == before.worker and seconds >= DRAIN_SECONDS - FLIGHT_SECONDS
    return Cause.DRAINED if is_late else None


def _woken(before: Ack, again: Entry, by: Disruption) -> Cause | None:
    its = [each.began for each in (before, again) if each.worker == by.worker]
    found = any(0 <= began - by.ended <= WOKEN_SECONDS for began in its)
    return Cause.WOKEN if found else None


def _lost(
    before: Ack, by: Disruption, disruptions: Sequence[Disruption], *, lane: bool
) -> Cause | None:
    """Return what of a worker that was lost was not durable."""
    at = by.began
    if by.worker != before.worker or before.began > at:
        return None
    if at - before.ended <= FLIGHT_SECONDS:
        return Cause.IN_FLIGHT
    if _away_since((What.KAFKA,), at, disruptions) - before.ended <= COMMIT_SECONDS:
        return Cause.SINCE_COMMIT
    if lane and _away_since((What.POSTGRES,), at, disruptions) - before.ended <= LANE_SECONDS:
        return Cause.LANE
    since = _away_since((What.KAFKA, What.POSTGRES), at, disruptions)
    return Cause.HELD if since - before.ended <= HELD_SECONDS else None


def _away_since(kinds: Collection[What], at: float, disruptions: Sequence[Disruption]) -> float:
    """Return since when at *at* one of these servers was away, or had been until just before.

    One after the other counts as one outage; *at* itself where none was away.
    """
    for each in sorted(disruptions, key=lambda one: -one.began):
        if each.what in kinds and each.began <= at <= each.ended + REJOIN_SECONDS:
            at = each.began
    return at


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return p50 and p99."""
    ordered = sorted(seconds)
    return statistics.median_low(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
