"""Whoever is in trouble leaves the feed, and whoever holds up a window: ten looks a second."""

from collections.abc import Callable, Collection

from services.deliver.outboxes import Outboxes
from services.dispatch.detach import Detaching
from services.dispatch.eligible import Eligible
from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.clock import Clock
from services.kernel.condition import Trouble
from services.kernel.ids import SubscriptionId
from services.kernel.lane import Reason
from services.kernel.subscription import Subscription
from services.lanes.transitions import State

LOOK_SECONDS = 0.1
OVER_SECONDS, OVER_MOST_SECONDS = 0.5, 2.0
"""How often to check whether trouble is over, and how often while very many are in some,"""
OVER_AT_ONCE = 500
"""which are more than so many: in proportion."""
HELD_SECONDS = 1.5
"""How long the same offsets must keep a window half full. A burst that flows off doesn't."""
MAX_AT_ONCE = 100
"""How many subscriptions of a partition are detached per look: 1,000 within a second."""


class Relief:
    """Looks who must leave, and has them detached."""

    def __init__(
        self,
        *,
        partitions: OwnedPartitions,
        outboxes: Outboxes,
        eligible: Eligible,
        detaching: Detaching,
        known: Callable[[SubscriptionId], Subscription | None],
        clock: Clock,
        window_open: int,
        window_deliveries: int,
    ) -> None:
        self._partitions = partitions
        self._outboxes = outboxes
        self._eligible = eligible
        self._detaching = detaching
        self._known = known
        self._clock = clock
        self._half = window_open // 2
        self._half_deliveries = window_deliveries // 2
        self._many_since: float | None = None
        """Since when at least so many deliveries are open."""
        self._over_at = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Detach subscriptions that are in trouble, and those that hold up a window."""
        eligible, now = self._eligible, self._clock.monotonic()
        if eligible.is_our_outage:
            return
        if now >= self._over_at:
            seldom = OVER_SECONDS * len(eligible.troubled) / OVER_AT_ONCE
            self._over_at = now + min(max(OVER_SECONDS, seldom), OVER_MOST_SECONDS)
            eligible.recover()
        self._relieve_all(now)
        leaving = {id_: None for id_ in eligible.leaving if id_ in eligible.troubled}
        # Those that have left need no further look: what matches from now on asks `Eligible.why_not`.
        eligible.leaving = {}
        for owned in self._partitions.active():
            if leaving:
                eligible.leaving.update(self._detach_troubled(owned, leaving))
            self._relieve(owned)

    def _detach_troubled(
        self, owned: Owned, ids: Collection[SubscriptionId]
    ) -> dict[SubscriptionId, None]:
        """Detach those that are leaving; return those that have to wait for the next look."""
        leaving = [
            SubscriptionId(id_)
            for id_ in owned.tracker.open_of(ids)
            if _is_fed(owned, SubscriptionId(id_))
        ]
        # A bounded number: if very many fail at once, everything else needs the loop between two looks.
        for id_ in leaving[:MAX_AT_ONCE]:
            self._detaching.detach(owned, id_, self._eligible.troubled[id_])
        return dict.fromkeys(leaving[MAX_AT_ONCE:])

    def _relieve(self, owned: Owned) -> None:
        """Where half of the window is open, detach whoever holds the oldest open pair, then the next.

        Not while the window moves: a backlog that is delivered as fast as it is read fills a window too,
        and whoever is detached for that is read twice. Nor a subscription that still doubles its
        concurrency; if it can't keep up even so, `Trouble.WAITED` detaches it.
        """
        now, tracker = self._clock.monotonic(), owned.tracker
        if tracker.open_count < self._half:
            owned.half_full = None
            return
        since, read = owned.half_full or (now, tracker.read_pos)
        if now - since >= HELD_SECONDS and tracker.lowest >= read:
            since, read = now, tracker.read_pos
        owned.half_full = since, read
        waits = any(lane.state is State.DETACHING for lane in owned.lanes.values())
        if now - since < HELD_SECONDS or waits:
            return
        for id_ in owned.tracker.holders(self._half, most=MAX_AT_ONCE):
            found = SubscriptionId(id_)
            if self._known(found) is None or self._outboxes.is_growing(found):
                continue
            if _is_fed(owned, found):
                self._detaching.detach(owned, found, Reason.WINDOW)

    def _relieve_all(self, now: float) -> None:
        """Let those leave who take nothing, where half of all that may be open is, for a while."""
        if self._partitions.pairs < self._half_deliveries:
            self._many_since = None
            return
        self._many_since = now if self._many_since is None else self._many_since
        if now - self._many_since >= HELD_SECONDS:
            for id_ in self._outboxes.stuck(HELD_SECONDS, most=MAX_AT_ONCE):
                self._eligible.trouble(id_, Trouble.FULL)


def _is_fed(owned: Owned, id_: SubscriptionId) -> bool:
    """Tell whether the feed of *owned* still delivers to a subscription."""
    lane = owned.lanes.get(id_)
    return lane is None or lane.state is State.DRAINING
