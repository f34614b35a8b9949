"""What a subscription will not get is recorded in `gaps` and reported before its cursor moves past it."""

from collections.abc import Callable

import structlog

from services.dispatch.lane import Lane
from services.dispatch.operations import Operations
from services.dispatch.owned import Owned
from services.kernel.clock import Clock
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneGap, LaneGapReason
from services.kernel.operation import About
from services.kernel.operation import gap as gap_operation
from services.kernel.ports.store.lanes import LaneStore
from services.kernel.subscription import Subscription
from services.observe import metrics

log = structlog.get_logger()


class Gaps:
    """Gaps of lanes. Those of whole partitions are recorded when the partition is taken: `ownership`."""

    def __init__(
        self,
        *,
        store: LaneStore,
        known: Callable[[SubscriptionId], Subscription | None],
        operations: Operations,
        clock: Clock,
    ) -> None:
        self._store = store
        self._known = known
        self._operations = operations
        self._clock = clock

    async def keep(
        self, owned: Owned, lane: Lane, *, since: int, to: int, reason: LaneGapReason
    ) -> None:
        """Record that [since, to) is not delivered, and why; then report it.

        Raises StoreGoneError and BrokerGoneError: call it again.
        """
        gap = LaneGap(
            partition=owned.partition,
            subscription_id=lane.subscription_id,
            from_offset=since,
            to_offset=to,
            reason=reason,
            at=self._clock.now(),
        )
        untold = await self._store.keep_gap(gap, from_time=lane.cursor_at)
        if reason is LaneGapReason.RETENTION:
            metrics.GAPS[reason.value].inc()  # alerts are on it: nobody asked for this one
        note = log.error if reason is LaneGapReason.RETENTION else log.info
        note(
            "lane_gap",
            subscription_id=lane.subscription_id,
            partition=str(owned.partition),
            from_offset=since,
            to_offset=to,
            reason=reason.value,
        )
        subscription = self._known(lane.subscription_id)
        if untold and subscription is not None:
            await self._operations.write(
                gap_operation(
                    About.of(subscription),
                    owned.partition,
                    from_offset=since,
                    to_offset=to,
                    from_time=lane.cursor_at,
                    to_time=None,
                    reason=reason.value,
                )
            )
            await self._store.told_gap(gap)
