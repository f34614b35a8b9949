"""The latest position of each vehicle: positions wait here until they are due, or are replaced.

A replaced position is settled in its lane at once, as *superseded*. That is safe because the one that
replaced it is open in the same lane: whoever takes the partition over reads from the lane's cursor, which
is at or below every open offset, whichever of the two has the lower offset. If the replaced one has a
retry row, the row is deleted. So a receiver that can't keep up gets fewer, fresher positions, and no
backlog.

The outbox is only handed what can be sent about now, since nothing in its line can be replaced. While a
lane is far behind, nothing goes out: newer positions are on their way.

What is known of vehicles is of this process and this spell of owning the partition. A row of before is
given up once a position went out that was taken after that one was written. Until then who takes over may
send it after a newer one of the spell before.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from services import catalogue
from services.deliver.conflate import Conflation, Fix
from services.deliver.outboxes import Outboxes
from services.dispatch.lane import Lane
from services.dispatch.lines import Line, Lines
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.parking import Parking
from services.kernel.attempt import Attempt
from services.kernel.clock import Clock
from services.kernel.delivery import Delivery, Settlement
from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Mode, Status, Subscription
from services.match.order_key import is_folded
from services.observe import metrics

FAR_BEHIND = 1_000
"""How many offsets behind is far: as much as one or two fetches bring."""


@dataclass(eq=False)
class _Line(Line):
    """The vehicles of one lane."""

    vehicles: Conflation
    behind_since: float | None = None
    """Since when it has been far behind, monotonic."""


class Latest:
    """What waits for its time, of all lanes of a worker."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        parking: Parking,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._parking = parking
        self._known = known
        self._clock = clock
        self._lines: Lines[_Line] = Lines(partitions=partitions, clock=clock)

    # What lanes read. Nothing here awaits.

    def add(
        self, owned: Owned, lane: Lane, event: Event, delivery: Delivery, subscription: Subscription
    ) -> None:
        """Send an event that *lane* has read; a position only when it is due."""
        if not is_folded(event, subscription):
            self._outboxes.deliver(delivery, subscription)
            return
        line = self._line(owned, lane, subscription)
        now = self._clock.monotonic()
        over = line.vehicles.add(event.key or "", fix_of(event), delivery, now=now)
        if over.waiting is not None:
            self._settle(owned, over.waiting)
        if over.parked is not None:
            self._parking.supersede(over.parked)
        if len(line.vehicles):
            self._lines.waits(line)
            self._hand_out(line)

    # What became of requests.

    def landed(self, delivery: Delivery, attempt: Attempt) -> None:
        """Note that a request has ended, before it is decided what follows."""
        line = self._line_of(delivery)
        if line is not None:
            began = self._clock.monotonic() - attempt.seconds
            line.vehicles.landed(delivery.key or "", delivery.position.offset, began=began)

    def go_on(self, delivery: Delivery) -> None:
        """Hand out what there is room for, after a request has ended and its verdict was carried out."""
        line = self._line_of(delivery)
        if line is not None and len(line.vehicles):
            self._hand_out(line)

    def is_overtaken(self, delivery: Delivery) -> bool:
        """Tell whether a failed position is superseded, because a later one of its vehicle waits."""
        line = self._line_of(delivery)
        return line is not None and line.vehicles.is_overtaken(
            delivery.key or "", delivery.position.offset
        )

    def supersede(self, owned: Owned, delivery: Delivery) -> None:
        """Settle a failed position that is superseded."""
        line = self._line_of(delivery)
        if line is not None:
            line.vehicles.fold(delivery.key or "", delivery)
        if self._parking.holds(delivery):
            self._parking.supersede(delivery)
        else:
            self._settle(owned, delivery)

    def again(self, delivery: Delivery) -> bool:
        """Let a failed probe wait for its turn; False: it isn't known here, the caller sends it again."""
        line = self._line_of(delivery)
        if line is None:
            return False
        now = self._clock.monotonic()
        waits = line.vehicles.again(delivery.key or "", delivery, now=now)
        if waits:
            self._lines.waits(line)
        return waits

    def parked(self, delivery: Delivery) -> None:
        """Note that a failed position becomes a row."""
        line = self._line_of(delivery)
        if line is not None:
            line.vehicles.park(delivery.key or "", delivery)

    def fetch(self, delivery: Delivery, subscription: Subscription) -> Delivery | None:
        """Return the delivery of a due row as it is to be sent; None: not now, or never."""
        if subscription.delivery.mode is not Mode.LATEST or not is_replaced(delivery):
            return delivery
        owned = self._partitions.current(delivery.position.partition)
        lane = None if owned is None else owned.lanes.get(subscription.id)
        if owned is None or lane is None:
            return delivery
        line, key = self._line(owned, lane, subscription), delivery.key or ""
        if line.vehicles.is_outdated(key, delivery):
            line.vehicles.fold(key, delivery)
            self._parking.supersede(delivery)
            return None
        return line.vehicles.fetch(key, delivery, now=self._clock.monotonic())

    # What time brings.

    async def run(self) -> None:
        """Hand out what becomes due, until cancelled."""
        await self._lines.run(self._hand_out)

    # Inside.

    def _hand_out(self, line: _Line) -> None:
        id_ = line.lane.subscription_id
        subscription = self._known(id_)
        is_current = self._lines.is_current(line)
        if subscription is None or not is_current or not len(line.vehicles):
            self._lines.done(line)
            return
        if subscription.status is not Status.ACTIVE or not self._outboxes.has_room(id_):
            return
        now = self._clock.monotonic()
        line.vehicles.change(_every(subscription))
        if self._is_far_behind(line, now):
            return
        early = self._wants_probe(id_)
        while self._outboxes.has_room(id_):
            delivery = line.vehicles.next(now, early=early)
            if delivery is None:
                break
            early = False
            self._outboxes.deliver(delivery, subscription)

    def _wants_probe(self, id_: SubscriptionId) -> bool:
        """Tell whether a breaker has nothing to probe with; when it probes is up to the breaker."""
        if not self._outboxes.is_probing(id_):
            return False
        condition = self._outboxes.condition(id_)
        return condition is not None and condition.queued + condition.in_flight == 0

    def _is_far_behind(self, line: _Line, now: float) -> bool:
        """Tell whether newer positions than those that wait are still being read; only for a while."""
        scan = line.lane.scan
        if scan is None or line.owned.tracker.read_pos - scan.position < FAR_BEHIND:
            line.behind_since = None
            return False
        if line.behind_since is None:
            line.behind_since = now
        return now - line.behind_since < line.vehicles.every

    def _line(self, owned: Owned, lane: Lane, subscription: Subscription) -> _Line:
        def make() -> _Line:
            vehicles = Conflation(_every(subscription))
            line = _Line(owned, lane, lane.generation, subscription.epoch, vehicles)
            vehicles.start_over(self._flying(line), again=False)
            return line

        return self._as_read(self._lines.of(owned, lane, make), subscription.epoch)

    def _as_read(self, line: _Line, begun: int) -> _Line:
        """Bring *line* up to date with its lane: if that started over, what waited is read again."""
        if line.generation != line.lane.generation:
            line.vehicles.start_over(self._flying(line), again=line.begun != begun)
            line.generation, line.begun = line.lane.generation, begun
        return line

    def _flying(self, line: _Line) -> dict[str, int]:
        flying = self._outboxes.in_flight_of(line.lane.subscription_id, line.owned.partition)
        return {
            delivery.key or "": delivery.position.offset
            for delivery in flying
            if is_replaced(delivery) and delivery.epoch == line.owned.epoch
        }

    def _line_of(self, delivery: Delivery) -> _Line | None:
        if not self._lines:
            return None
        line = self._lines.get((delivery.position.partition, delivery.subscription_id))
        if line is None or line.owned.epoch != delivery.epoch or not is_replaced(delivery):
            return None  # cheapest first: it is asked three times a request, of others' too
        subscription = self._known(delivery.subscription_id)
        if subscription is None:
            return None
        return self._as_read(line, subscription.epoch)

    def _settle(self, owned: Owned, delivery: Delivery) -> None:
        if owned.settle_all(delivery):
            metrics.SETTLED.counts[Settlement.SUPERSEDED] += 1


def is_replaced(delivery: Delivery) -> bool:
    """Tell whether *delivery* may be replaced: a live position. What a person asks for is always sent."""
    return (
        delivery.key is not None
        and delivery.order is None  # it is from before, when its subscription was ordered
        and delivery.resend is None
        and not delivery.is_beside
        and not delivery.is_batch
        and catalogue.is_stream(catalogue.canonical(delivery.type))
    )


def _every(subscription: Subscription) -> float:
    return subscription.delivery.every_seconds or 0.0


def fix_of(event: Event) -> Fix:
    """Return when a position was taken: before it was written, whatever the phone's clock says.

    One from the future would take the place of all that follow for as long.
    """
    written = event.timestamp_ms / 1000
    try:
        moment = datetime.fromisoformat(event.created_at)
    except ValueError:
        return Fix(written, event.position.offset)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return Fix(min(moment.timestamp(), written), event.position.offset)
