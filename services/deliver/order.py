"""Order by key: for each key of a subscription, the next goes out once the one before is through. Pure.

A line is one key of one subscription on one partition. It knows the offsets that are neither
acknowledged nor given up, wherever they are:

    here      in memory, waiting
    out       with the couriers: in its outbox's queue, or in flight; at most one per line
    away      a retry row, or on its way to become one
    behind    away, and waiting only for its turn: its row is fetched by key when that comes

Only the lowest of them may go out, and only if it is here. So a failed event holds its key until it is
acknowledged or its dead letter is committed, whatever happens to those behind it: one that waits too
long in memory becomes a row, within the budget, that is due when its turn comes. That is more durable
than pointers without a body, and no event is read from the log twice because its key was held.

A line belongs to an epoch. A new owner makes its lines from the rows it finds, and waits for its own
requests that are still in flight from the epoch before. There is no order between partitions, since they
may belong to two workers, and none for events without a key.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from services.deliver.outbox import Queued
from services.kernel.delivery import Delivery
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.ports.store.retries import KeyRow, LineKey


class Line:
    """One key."""

    __slots__ = ("behind", "epoch", "here", "offsets", "out")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.offsets: list[int] = []
        """All offsets that are not through, ascending."""
        self.here: dict[int, Queued] = {}
        self.out: int | None = None
        self.behind: set[int] = set()

    def add(self, offset: int) -> None:
        """Note an offset, wherever it is."""
        at = bisect_left(self.offsets, offset)
        if at == len(self.offsets) or self.offsets[at] != offset:
            self.offsets.insert(at, offset)

    def end(self, offset: int) -> None:
        """Note that an offset is through."""
        at = bisect_left(self.offsets, offset)
        if at < len(self.offsets) and self.offsets[at] == offset:
            del self.offsets[at]
        self.here.pop(offset, None)
        self.behind.discard(offset)
        if self.out == offset:
            self.out = None

    def next(self) -> Queued | None:
        """Take what may go out now."""
        if self.out is not None or not self.offsets:
            return None
        first = self.here.pop(self.offsets[0], None)
        if first is not None:
            self.out = self.offsets[0]
        return first

    def __repr__(self) -> str:
        return f"<Line {self.offsets} out {self.out} here {[*self.here]} behind {self.behind}>"

    @property
    def wants_row(self) -> bool:
        """Whether the next in turn is a row that only has to be fetched."""
        return self.out is None and bool(self.offsets) and self.offsets[0] in self.behind


class Order:
    """All lines of a worker."""

    def __init__(self, *, barrier: Callable[[LineKey], float] = lambda _: math.inf) -> None:
        self._barrier = barrier
        """The offset at and above which nothing may go out yet: earlier events are still unread."""
        self._barred: dict[LineKey, None] = {}
        self._lines: dict[LineKey, Line] = {}
        self._flying: Counter[LineKey] = Counter()
        """Requests in flight, including those of epochs that are over."""

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, queued: Queued) -> Queued | None:
        """Put a delivery in its line; return what may go out now, this one or none."""
        offset = queued.delivery.position.offset
        key = _key(queued.delivery)
        line = self._line(key, queued.delivery.epoch)
        line.add(offset)
        line.behind.discard(offset)
        if line.out == offset:
            return None  # it is out already
        line.here[offset] = queued
        return self._next(key, line)

    def began(self, delivery: Delivery) -> None:
        """Note that a request begins."""
        self._flying[_key(delivery)] += 1

    def landed(self, delivery: Delivery) -> Queued | None:
        """Note that a request ended; `end` says whether its event is through.

        Return what may go out now: it may have waited for a request of an epoch that is over.
        """
        key = _key(delivery)
        self._flying[key] -= 1
        if not self._flying[key]:
            del self._flying[key]
        self.left(delivery)
        line = self._lines.get(key)
        return None if line is None else self._next(key, line)

    def left(self, delivery: Delivery) -> None:
        """Note that a delivery is no longer out."""
        line = self._lines.get(_key(delivery))
        if line is not None and _is_of(line, delivery) and line.out == delivery.position.offset:
            line.out = None

    def end(self, delivery: Delivery) -> Queued | None:
        """Note that a delivery is through; return what may go out instead."""
        key = _key(delivery)
        line = self._lines.get(key)
        if line is None or not _is_of(line, delivery):
            return None
        line.end(delivery.position.offset)
        if not line.offsets:
            del self._lines[key]
            return None
        return self._next(key, line)

    def leave(self, delivery: Delivery) -> None:
        """Note that a delivery is on its way to a row, and comes back when it is its turn."""
        line = self._line(_key(delivery), delivery.epoch)
        offset = delivery.position.offset
        line.add(offset)
        line.behind.add(offset)

    def take_back(
        self, id_: SubscriptionId | None, wanted: Callable[[Queued], bool]
    ) -> Iterator[Queued]:
        """Take the *wanted* deliveries that are here; without an id, of all subscriptions."""
        for key, line in list(self._lines.items()):
            if line.here and id_ in (None, key.subscription_id):
                for offset, queued in sorted(line.here.items()):
                    if wanted(queued):
                        del line.here[offset]
                        yield queued

    def may_fetch(self, delivery: Delivery) -> bool:
        """Tell whether a row may come into memory: all before it are in memory, or out, already."""
        line = self._lines.get(_key(delivery))
        if line is None or not _is_of(line, delivery):
            return True
        before = line.offsets[: bisect_left(line.offsets, delivery.position.offset)]
        return all(offset in line.here or offset == line.out for offset in before)

    def wanting_rows(self, limit: int, *, wanted: Callable[[LineKey], bool]) -> list[LineKey]:
        """Return up to *limit* of the *wanted* lines whose next has to be fetched.

        Those returned last time come last: some rows can't come now, because their subscription is paused
        or the log has to be read up to them first, and must not hold up the others for ever.
        """
        wanting = (key for key, line in self._lines.items() if line.wants_row and wanted(key))
        found = list(islice(wanting, limit))
        for key in found:
            self._lines[key] = self._lines.pop(key)
        return found

    def load(self, partition: Partition, epoch: int, rows: Iterable[KeyRow]) -> None:
        """Begin with the rows that a partition came with."""
        self.drop(partition)
        for row in rows:
            line = self._line(LineKey(row.subscription_id, partition, row.key), epoch)
            line.add(row.offset)
            if row.behind:
                line.behind.add(row.offset)

    def drop(self, partition: Partition) -> None:
        """Forget a partition that isn't ours any more."""
        for key in [key for key in self._lines if key.partition == partition]:
            del self._lines[key]

    def forget(self, id_: SubscriptionId) -> None:
        """Forget a subscription that was deleted."""
        for key in [key for key in self._lines if key.subscription_id == id_]:
            del self._lines[key]

    def pass_barriers(self) -> Iterator[Queued]:
        """Yield what may go out now that what comes before it has been read."""
        barred, self._barred = self._barred, {}
        for key in barred:
            line = self._lines.get(key)
            freed = None if line is None else self._next(key, line)
            if freed is not None:
                yield freed

    def _next(self, key: LineKey, line: Line) -> Queued | None:
        if key in self._flying:
            return None
        if line.offsets and line.offsets[0] >= self._barrier(key):
            self._barred[key] = None
            return None
        return line.next()

    def _line(self, key: LineKey, epoch: int) -> Line:
        line = self._lines.get(key)
        if line is None or line.epoch < epoch:
            line = self._lines[key] = Line(epoch)
        return line


def _key(delivery: Delivery) -> LineKey:
    return LineKey(delivery.subscription_id, delivery.position.partition, delivery.order or "")


def _is_of(line: Line, delivery: Delivery) -> bool:
    return line.epoch == delivery.epoch
