"""Lanes close to the end of retention: owners are warned, operators alerted, and they are read first.

Kafka is asked for the first offset younger than half of a topic's retention, and younger than four
fifths of it: a lane with its cursor below that has used up as much. Paused and disabled subscriptions
are warned of at half only. Each step is reported once per subscription and owner of the partition.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import structlog

from services.dispatch.lane import Lane
from services.dispatch.operations import Operations
from services.dispatch.owned import Owned, OwnedPartitions
from services.dispatch.subscriptions import Subscriptions
from services.kernel import operation
from services.kernel.clock import Clock
from services.kernel.errors import BrokerGoneError, BrokerRefusedError
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.operation import About
from services.kernel.ports.broker import Offsets
from services.kernel.subscription import Status, Subscription
from services.lanes.edge import ALARMED, SHARES, used
from services.observe import metrics

log = structlog.get_logger()

LOOK_SECONDS = 60.0


class Retention:
    """Looks once a minute, where there are lanes."""

    def __init__(
        self,
        *,
        offsets: Offsets,
        partitions: OwnedPartitions,
        subscriptions: Subscriptions,
        operations: Operations,
        clock: Clock,
    ) -> None:
        self._offsets = offsets
        self._partitions = partitions
        self._subscriptions = subscriptions
        self._operations = operations
        self._clock = clock
        self._told: dict[SubscriptionId, int] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (BrokerGoneError, BrokerRefusedError) as error:
                log.warning("retention_waits", error=str(error))

    async def look(self) -> None:
        """Note how much retention each lane has used up; report what is new. Raises BrokerGoneError."""
        behind = [owned for owned in self._partitions.loaded() if owned.lanes]
        marks = await self._marks([owned.partition for owned in behind])
        near: dict[SubscriptionId, int] = {}
        counts: Counter[int] = Counter()
        for owned in behind:
            for id_, lane in list(owned.lanes.items()):
                lane.edge = used(lane.tracker.lowest, marks[owned.partition])
                share = self._counted(id_, lane.edge)
                if share:
                    counts[share] += 1
                    if share > max(near.get(id_, 0), self._told.get(id_, 0)):
                        await self._tell(owned, lane, share)
                        self._told[id_] = share
                    near[id_] = max(near.get(id_, 0), share)
        self._told = near
        for share, gauge in metrics.LANES_NEAR_EDGE.items():
            gauge.set(counts[share])

    async def _marks(self, partitions: Sequence[Partition]) -> Mapping[Partition, dict[int, int]]:
        """Return the first offsets that are younger than each share of their topic's retention."""
        marks: dict[Partition, dict[int, int]] = {partition: {} for partition in partitions}
        topics = {partition.topic for partition in partitions}
        for topic, kept in (await self._offsets.retention(topics)).items() if topics else ():
            if kept is None:
                continue
            of_topic = [partition for partition in partitions if partition.topic == topic]
            for share in SHARES:
                since = self._clock.time() - kept.total_seconds() * share / 100
                for partition, offset in (
                    await self._offsets.at(of_topic, int(since * 1000))
                ).items():
                    marks[partition][share] = offset
        return marks

    def _counted(self, id_: SubscriptionId, share: int) -> int:
        subscription = self._subscriptions.get(id_)
        if subscription is None:
            return 0
        is_active = subscription.status is Status.ACTIVE
        return share if is_active else min(share, SHARES[0])

    async def _tell(self, owned: Owned, lane: Lane, share: int) -> None:
        subscription = self._subscriptions.get(lane.subscription_id)
        if subscription is None:
            return
        lag = owned.tracker.read_pos - lane.tracker.lowest
        note = log.error if share == ALARMED else log.warning
        note(
            "lane_near_edge",
            subscription_id=lane.subscription_id,
            partition=str(owned.partition),
            percent=share,
            cursor=lane.tracker.lowest,
            lag=lag,
        )
        await self._operations.write(_warning(subscription, lane, share, lag))


def _warning(subscription: Subscription, lane: Lane, share: int, lag: int) -> operation.Operation:
    return operation.failing(
        About.of(subscription),
        reason=f"retention_{share}_percent",
        since=lane.since,
        backlog=lag,
    )
