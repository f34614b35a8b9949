"""The oracle of the latest: one of a vehicle at a time, none older than one before, and not too often.

That is promised within a spell of owning a partition. Who takes over knows nothing of vehicles: a row of
an earlier spell may go out after something newer, but after nothing that was taken when it was written
already; and so may what a person asks for again.
"""

from dataclasses import dataclass, field

from services.kernel.attempt import Attempt, Outcome
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from tests.simulation.oracle import Oracle
from tests.support.processes import Process

Vehicle = tuple[Process, int, SubscriptionId, Partition, str]
"""In a spell of owning its partition."""
TOLERANCE = 0.001


@dataclass
class Seen:
    """What was sent of a vehicle."""

    flying: int | None = None
    newest: tuple[float, int] | None = None
    last: tuple[int, float] | None = None
    """Offset and begin of the last."""


@dataclass
class LatestOracle:
    """Watches requests as they begin and end."""

    oracle: Oracle
    every: dict[SubscriptionId, float] = field(default_factory=dict)
    """Of those whose settings nobody changes."""
    requests: int = 0
    superseded: int = 0
    _seen: dict[Vehicle, Seen] = field(default_factory=dict)
    _failed: set[tuple[Process, SubscriptionId]] = field(default_factory=set)
    """Whose breaker may try something before its time."""

    def flies(self, process: Process, delivery: Delivery, now: float) -> None:
        """Hold a request that begins to those of its vehicle."""
        vehicle = self._vehicle(process, delivery)
        if vehicle is None:
            return
        self.requests += 1
        self.superseded += delivery.conflated
        seen = self._seen.setdefault(vehicle, Seen())
        offset = delivery.position.offset
        fix = self.oracle.produced[delivery.position].fix or 0.0, offset
        if seen.flying is not None:
            self.oracle.breaks(f"{delivery!r} goes beside offset {seen.flying} of its vehicle")
        is_of_before = self.oracle.rows.get(delivery.pair, delivery.epoch) != delivery.epoch
        seen.flying = offset
        if is_of_before:  # nobody knows when it was taken, but when it was written
            written = self.oracle.produced[delivery.position].record.timestamp_ms / 1000
            if seen.newest is not None and seen.newest[0] > written:
                self.oracle.breaks(f"{delivery!r} is of before, and older than {seen.newest}")
            return
        if seen.newest is not None and fix < seen.newest:
            self.oracle.breaks(f"{delivery!r} is older than {seen.newest}, which went before")
        if seen.last is not None and seen.last[0] != offset:
            self._judge_pause(vehicle, delivery, now - seen.last[1])
        seen.last, seen.newest = (offset, now), max(fix, seen.newest or fix)

    def lands(self, process: Process, delivery: Delivery, attempt: Attempt) -> None:
        """Take in that a request ended."""
        if attempt.outcome is not Outcome.OK:
            self._failed.add((process, delivery.subscription_id))
        vehicle = self._vehicle(process, delivery)
        if vehicle is not None and vehicle in self._seen:
            self._seen[vehicle].flying = None

    def _judge_pause(self, vehicle: Vehicle, delivery: Delivery, pause: float) -> None:
        process, _, id_, _, _ = vehicle
        if pause < self.every[id_] - TOLERANCE and (process, id_) not in self._failed:
            self.oracle.breaks(f"{delivery!r} goes {pause:.3f} s after the one before")

    def _vehicle(self, process: Process, delivery: Delivery) -> Vehicle | None:
        id_ = delivery.subscription_id
        produced = self.oracle.produced.get(delivery.position)
        is_asked = id_ not in self.every or self.oracle.rewound.get(id_) or delivery.is_batch
        if produced is None or produced.fix is None or is_asked:
            return None
        return process, delivery.epoch, id_, delivery.position.partition, delivery.key or ""
