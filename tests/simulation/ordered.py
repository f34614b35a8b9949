"""The oracle of order: of one key requests never overlap, and none overtakes what isn't through.

A key is one of a subscription on a partition. What was acknowledged and is sent again after a crash
repeats its place; what was never acknowledged or given up lets nothing of its key pass. What was tried
before its subscription became ordered has no place: it goes again when it is due.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.deliver.batch import ORDER as BATCH_ORDER
from services.kernel.delivery import Delivery
from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Ordered
from tests.simulation.oracle import Oracle, Produced
from tests.support.processes import Process


class Flight(NamedTuple):
    """A request of an ordered subscription."""

    process: Process
    epoch: int
    offset: int
    began: float


UNAWARE = ("evict", "twin", "store down", "store loses")
LONGEST = 1.8
"""Seconds that an ordered request may take."""
Key = tuple[SubscriptionId, Partition, str]


@dataclass
class OrderOracle:
    """Watches requests as they begin and end."""

    oracle: Oracle
    now: Callable[[], float]
    flying: dict[Key, set[Flight]] = field(default_factory=lambda: defaultdict(set))
    requests: int = 0
    unordered: set[tuple[Position, SubscriptionId]] = field(default_factory=set)
    """What was tried while no order was asked for."""

    def flies(self, process: Process, delivery: Delivery) -> None:
        """Hold a request that begins to those of its key."""
        key = self._key(delivery)
        if key is None:
            if delivery.order is None:
                self.unordered.update(
                    (Position(delivery.position.partition, part.offset), delivery.subscription_id)
                    for part in delivery.parts
                )
            return
        self.requests += 1
        for other in self.flying[key]:
            if self._counts(other, process):
                self.oracle.breaks(f"{delivery!r} overlaps with offset {other.offset} of its key")
        self.flying[key].add(Flight(process, delivery.epoch, delivery.position.offset, self.now()))
        for offset in self._before(delivery):
            self.oracle.breaks(f"{delivery!r} overtakes offset {offset} of its key")

    def lands(self, process: Process, delivery: Delivery) -> None:
        """Take in that a request ended."""
        key = self._key(delivery)
        if key is not None:
            self.flying[key] = {
                flight
                for flight in self.flying[key]
                if flight[:3] != (process, delivery.epoch, delivery.position.offset)
            }

    def _counts(self, flight: Flight, process: Process) -> bool:
        """Tell whether a request that is in flight could be helped.

        A process that died or sleeps ends no request. A group that forgets a living member, or takes
        another process for it, tells nobody in time. What is left in flight on a revoke holds its key
        by its row, which a store that is gone doesn't take.
        """
        if not flight.process.alive or flight.process.asleep:
            return False
        now = self.now()
        unaware = any(
            trouble.what in UNAWARE and trouble.begin <= now <= trouble.end + LONGEST
            for trouble in self.oracle.troubles
        )
        return flight.process is process or (not unaware and now - flight.began <= LONGEST)

    def _before(self, delivery: Delivery) -> list[int]:
        """Return what is due before *delivery* in its key and neither acknowledged nor dead."""
        id_, position = delivery.subscription_id, delivery.position
        tables = self.oracle.database.tables
        subscription = tables.subscriptions.get(id_)
        found = []
        for other, produced in self.oracle.produced.items():
            if other.partition != position.partition or other.offset >= position.offset:
                continue
            in_key = delivery.order in (BATCH_ORDER, _key_of(produced.record.key))
            if id_ not in produced.due or not in_key or self._is_folded(produced, id_):
                continue
            left_out = (other, id_) in self.oracle.skipped | self.oracle.deleted
            left_out = left_out or self.oracle.is_added(other, id_)
            left_out = left_out or (other, id_) in self.unordered
            dead = left_out or any(key in tables.dead for key in self.oracle.rows_of(other, id_))
            if not dead and not self.oracle.heard.get((other, id_)) and subscription is not None:
                found.append(other.offset)
        return found

    def _is_folded(self, produced: Produced, id_: SubscriptionId) -> bool:
        """Tell whether it goes by the time of its fix, and in no other order."""
        return produced.fix is not None and id_ in self.oracle.latest

    def _key(self, delivery: Delivery) -> Key | None:
        subscription = self.oracle.database.tables.subscriptions.get(delivery.subscription_id)
        if subscription is None or subscription.ordered is Ordered.NONE or delivery.order is None:
            return None
        return subscription.id, delivery.position.partition, delivery.order


def _key_of(key: bytes | None) -> str:
    return (key or b"").decode().partition(":")[2]
