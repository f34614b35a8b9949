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
from dataclasses import replace
from typing import NamedTuple, TypeVar

from services import catalogue
from services.deliver.conflate import MAX_KNOWN, Fix
from services.deliver.outboxes import Outboxes
from services.dispatch.batches import Batches
from services.dispatch.lane import MAX_LATEST, Lane
from services.dispatch.latest import fix_of, is_replaced
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement
from services.kernel.event import Event, Partition
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Mode, Status, Subscription
from services.match.order_key import limit_of
from services.observe import metrics

LOOK_SECONDS = 0.1

_T = TypeVar("_T")


class _Waiting(NamedTuple):
    """A position that was read and not sent yet."""

    key: str
    fix: Fix
    limit: float
    """Seconds."""
    delivery: Delivery


class _Line:
    """The positions of one lane."""

    def __init__(self, owned: Owned, lane: Lane, begun: int) -> None:
        self.owned = owned
        self.lane = lane
        self.generation = lane.generation
        self.begun = begun
        """How often its subscription had begun anew."""
        self.queue: deque[_Waiting] = deque()
        self.held: dict[str, _Waiting] = {}
        """Stale ones, each the newest of its vehicle."""
        self.newest: dict[str, Fix] = {}
        """Of each vehicle, of all that was read."""
        self.sent: dict[str, Fix] = {}
        self.folded: dict[str, int] = {}
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
        self._partitions = partitions
        self._outboxes = outboxes
        self._batches = batches
        self._parking = parking
        self._known = known
        self._clock = clock
        self._lines: dict[tuple[Partition, SubscriptionId], _Line] = {}

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
        self._hand_out(line, subscription)
        return True

    def go_on(self, delivery: Delivery) -> None:
        """Hand out what there is room for, now that a request has ended."""
        if not self._lines:
            return  # cheapest first: it is asked once a request, of others' too
        line = self._lines.get((delivery.position.partition, delivery.subscription_id))
        subscription = self._known(delivery.subscription_id) if line is not None else None
        if line is not None and subscription is not None:
            self._hand_out(line, subscription)

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
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            for place, line in list(self._lines.items()):
                subscription = self._known(place[1])
                limits = subscription.max_age_seconds if subscription is not None else ()
                if subscription is None or not limits or not self._stands(line):
                    del self._lines[place]
                elif line.queue or line.held:
                    self._hand_out(line, subscription)

    # Inside.

    def _line(self, owned: Owned, lane: Lane, subscription: Subscription) -> _Line:
        place = owned.partition, subscription.id
        line = self._lines.get(place)
        if line is None or line.owned is not owned or line.lane is not lane:
            line = self._lines[place] = _Line(owned, lane, subscription.epoch)
        if line.generation != lane.generation:
            line.start_over(subscription.epoch)
        return line

    def _stands(self, line: _Line) -> bool:
        owned, lane = line.owned, line.lane
        return (
            self._partitions.is_held(owned)
            and owned.active
            and owned.lanes.get(lane.subscription_id) is lane
        )

    def _hand_out(self, line: _Line, subscription: Subscription) -> None:
        stands = self._stands(line) and line.generation == line.lane.generation
        if not stands or subscription.status is not Status.ACTIVE:
            return  # it is read again, by whoever goes on
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
