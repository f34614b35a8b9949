"""How many retry rows each subscription may have in this worker, in count and bytes."""

from collections import defaultdict
from collections.abc import Mapping

from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.retries import Usage

NONE = Usage(0, 0)
KEPT_ROWS = 100
"""Rows reserved for lanes: an event that keeps failing must not hold up what is behind it."""


class Budget:
    """Counts rows when they are decided on, until they are gone."""

    def __init__(self, *, rows: int, bytes_: int) -> None:
        self._rows = rows
        self._kept = min(KEPT_ROWS, rows // 2)
        self._bytes = bytes_
        self._used: dict[SubscriptionId, Usage] = {}
        self._by_partition: dict[Partition, dict[SubscriptionId, Usage]] = defaultdict(dict)

    @property
    def any_rows(self) -> bool:
        """Whether there may be any row at all: if not, Postgres needn't be asked for due ones."""
        return bool(self._used)

    def admits(self, delivery: Delivery, *, in_lane: bool = False) -> bool:
        """Tell whether one more row fits."""
        used = self._used.get(delivery.subscription_id, NONE)
        rows = self._rows if in_lane else self._rows - self._kept
        return used.rows < rows and used.bytes + len(delivery.body) <= self._bytes

    def load(self, partition: Partition, usage: Mapping[SubscriptionId, Usage]) -> None:
        """Take over the rows that a partition came with."""
        self.release(partition)
        for id_, used in usage.items():
            self._change(partition, id_, used.rows, used.bytes)

    def add(self, delivery: Delivery) -> None:
        """Count one more row."""
        self._change(delivery.position.partition, delivery.subscription_id, 1, len(delivery.body))

    def remove(self, delivery: Delivery) -> None:
        """Give one row back."""
        self._change(delivery.position.partition, delivery.subscription_id, -1, -len(delivery.body))

    def release(self, partition: Partition) -> None:
        """Give back all rows of a partition."""
        for id_, used in list(self._by_partition[partition].items()):
            self._change(partition, id_, -used.rows, -used.bytes)
        del self._by_partition[partition]

    def forget(self, id_: SubscriptionId) -> None:
        """Give back all rows of a deleted subscription."""
        for partition, by_id in self._by_partition.items():
            if id_ in by_id:
                self._change(partition, id_, -by_id[id_].rows, -by_id[id_].bytes)

    def _change(self, partition: Partition, id_: SubscriptionId, rows: int, size: int) -> None:
        for counts in (self._used, self._by_partition[partition]):
            used = counts.get(id_, NONE)
            left = Usage(max(0, used.rows + rows), max(0, used.bytes + size))
            if left.rows:
                counts[id_] = left
            else:
                counts.pop(id_, None)
