"""Positions with a limit of age (`max_age_seconds`): one that is older when its turn comes isn't sent
where a newer one of its vehicle is known, which then goes in its place. Reports have no limit.

Whoever wants that lives in lanes, as for `latest`: what lanes read waits here, in order, for room in the
outbox, and is judged when it is its turn.

    add ──▶ queue ──room──▶ fresh ─────────────────────────────────▶ sent
                              │ stale     nothing newer is in the log
                              └─────────▶ held ───────────────────▶ sent
                              └── a newer one ──┴──▶ superseded

What is superseded is settled in its lane at once. That is safe since the newer one is open in the same
lane, or was sent. What is known of vehicles is of this process and this spell of owning the partition.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from services import catalogue
from services.deliver.conflate import MAX_KNOWN, Fix
from services.deliver.outboxes import Outboxes
from services.dispatch.batches import Batches
from services.dispatch.lane import MAX_LATEST, Lane
from services.dispatch.latest import fix_of, is_replaced
from services.dispatch.lines import Line, Lines
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Mode, Status, Subscription
from services.match.order_key import limit_of
from services.observe import metrics

_T = TypeVar("_T")


class _Waiting(NamedTuple):
    """A position that was read and not sent yet."""

    key: str
    fix: Fix
    limit: float
    """Seconds."""
    delivery: Delivery


@dataclass(eq=False)
class _Line(Line):
    """The positions of one lane."""

    queue: deque[_Waiting] = field(default_factory=deque)
    held: dict[str, _Waiting] = field(default_factory=dict)
    """Stale ones, each the newest of its vehicle."""
    newest: dict[str, Fix] = field(default_factory=dict)
    """Of each vehicle, of all that was read."""
    sent: dict[str, Fix] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    """How many were superseded since one of the vehicle last went out."""

    def start_over(self, begun: int) -> None:
        """Drop what waits, since it is read again."""
        if begun != self.begun:
            self.sent.clear()  # a person wants older ones too
        self.generation, self.begun = self.lane.generation, begun
        self.newest = dict(self.sent)
        self.queue.clear()
        self.held.clear()


class Expiry:
    """What waits for its turn, of all lanes of a worker."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        batches: Batches,
        parking: Parking,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
    ) -> None:
        self._outboxes = outboxes
        self._batches = batches
        self._parking = parking
        self._known = known
        self._clock = clock
        self._lines: Lines[_Line] = Lines(partitions=partitions, clock=clock)

    def add(
        self, owned: Owned, lane: Lane, event: Event, delivery: Delivery, subscription: Subscription
    ) -> bool:
        """Take in a position that *lane* has read; False: it has no limit of age, send it yourself."""
        limit = limit_of(event, subscription)
        if limit is None:
            return False
        line = self._line(owned, lane, subscription)
        key, fix = event.key or "", fix_of(event)
        newest = line.newest.get(key)
        if newest is None or newest < fix:
            _note(line.newest, key, fix)
            old = line.held.pop(key, None)
            if old is not None:
                lane.held_back -= 1
                self._supersede(line, old)
        line.queue.append(_Waiting(key, fix, limit, delivery))
        self._lines.waits(line)
        self._hand_out(line)
        return True

    def go_on(self, delivery: Delivery) -> None:
        """Hand out what there is room for, now that a request has ended."""
        if not self._lines:
            return  # cheapest first: it is asked once a request, of others' too
        line = self._lines.get((delivery.position.partition, delivery.subscription_id))
        if line is not None:
            self._hand_out(line)

    def is_over(self, row: Delivery, subscription: Subscription) -> bool:
        """Tell whether what comes back from its row is too old, and one that is newer was sent; its row
        is deleted then. When it was taken isn't in its row, but when it was written is.
        """
        limit = dict(subscription.max_age_seconds).get(catalogue.canonical(row.type))
        line = self._lines.get((row.position.partition, row.subscription_id))
        if limit is None or line is None or not is_replaced(row):
            return False
        written = row.timestamp_ms / 1000
        sent = line.sent.get(row.key or "")
        if self._clock.time() - written <= limit or sent is None or sent.at <= written:
            return False
        self._parking.supersede(row)
        return True

    async def run(self) -> None:
        """Hand out what has become the newest there is, until cancelled."""
        await self._lines.run(self._hand_out)

    # Inside.

    def _line(self, owned: Owned, lane: Lane, subscription: Subscription) -> _Line:
        line = self._lines.of(
            owned, lane, lambda: _Line(owned, lane, lane.generation, subscription.epoch)
        )
        if line.generation != lane.generation:
            line.start_over(subscription.epoch)
        return line

    def _hand_out(self, line: _Line) -> None:
        subscription = self._known(line.lane.subscription_id)
        is_empty = not line.queue and not line.held
        if subscription is None or is_empty or not self._lines.is_current(line):
            self._lines.done(line)
            return
        if subscription.status is not Status.ACTIVE:
            return
        now = self._clock.time()
        while line.queue:
            waiting = line.queue[0]
            is_stale = now - waiting.fix.at > waiting.limit
            if not is_stale and not self._outboxes.has_room(subscription.id):
                break
            line.queue.popleft()
            if not is_stale:
                self._send(line, waiting, subscription)
            elif waiting.fix < line.newest.get(waiting.key, waiting.fix):
                self._supersede(line, waiting)
            else:
                line.held[waiting.key] = waiting
                line.lane.held_back += 1
        # Nothing newer is in the log: the last that is known of a vehicle goes, however old it is.
        is_last = line.lane.position >= line.owned.tracker.read_pos
        while line.held and not line.queue and (is_last or len(line.held) >= MAX_LATEST):
            if not self._outboxes.has_room(subscription.id):
                break
            waiting = line.held.pop(next(iter(line.held)))
            line.lane.held_back -= 1
            self._send(line, waiting, subscription)

    def _send(self, line: _Line, waiting: _Waiting, subscription: Subscription) -> None:
        key, delivery = waiting.key, waiting.delivery
        folded = line.folded.pop(key, 0)
        if folded:
            delivery = replace(delivery, conflated=folded)
        if key not in line.sent or line.sent[key] < waiting.fix:
            _note(line.sent, key, waiting.fix)
        if subscription.delivery.mode is Mode.BATCH:
            self._batches.add(line.owned, line.lane, delivery, subscription)
        else:
            self._outboxes.deliver(delivery, subscription)

    def _supersede(self, line: _Line, waiting: _Waiting) -> None:
        _note(line.folded, waiting.key, line.folded.get(waiting.key, 0) + 1)
        if line.owned.settle_all(waiting.delivery):
            metrics.SETTLED.counts[Settlement.SUPERSEDED] += 1


def _note(known: dict[str, _T], key: str, what: _T) -> None:
    """Keep *what* of a vehicle; of those of which nothing came for longest nothing is known any more."""
    known.pop(key, None)
    if len(known) >= MAX_KNOWN:
        del known[next(iter(known))]
    known[key] = what
