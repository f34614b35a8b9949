"""Who loses something where a whole partition goes on further up: each of them is told.

Whoever wants a type that the catalogue has in the partition's topic, paused and disabled ones too;
filters aren't asked, since nobody can say what the lost events were. Where the catalogue doesn't know the
topic, an installation's own, it may hold everything but operational events, which nobody else writes.
Telling too many is better than telling too few.

Where retention or a person passed the feed, it lost what the feed alone was to deliver. Below its
`attach_at` a lane delivers to its subscription, and reports by itself what it can't; from a promised
offset on everything is read again, and before its first promise nothing was due to a new one. Where the
log was made anew, all lanes that stood above its end have lost their place too, and all are told.
"""

import asyncio
from collections.abc import Iterable
from functools import cache

from services import catalogue
from services.feed.start import Gap
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId
from services.kernel.lane import StartKind
from services.kernel.operation import OPS_TOPIC, About, Operation
from services.kernel.operation import gap as gap_operation
from services.kernel.ports.store.partitions import Assignment
from services.kernel.subscription import Subscription
from services.match.types import topics_of

AT_ONCE = 1_000
"""Subscriptions, of maybe 100,000, that are looked at before the loop goes on: about 5 ms."""


async def told_of(
    gap: Gap, partition: Partition, assignment: Assignment, subscriptions: Iterable[Subscription]
) -> list[Operation]:
    """Return what is told of *gap*, in steps of a few milliseconds; *assignment* is of before it."""
    lost = Lost(gap, partition, assignment)
    found = []
    for n, subscription in enumerate(subscriptions, start=1):
        if (told := lost.by(subscription)) is not None:
            found.append(told)
        if n % AT_ONCE == 0:
            await asyncio.sleep(0)
    return found


class Lost:
    """What a gap takes, from whom."""

    def __init__(self, gap: Gap, partition: Partition, assignment: Assignment) -> None:
        self._gap = gap
        self._partition = partition
        self._fed_from: dict[SubscriptionId, int] = {}
        """Where the feed takes over from a lane."""
        self._fed_to: dict[SubscriptionId, int] = {}
        """From where on a promise has everything read again."""
        if gap.reason == "recreated":
            return
        for row in assignment.lanes:
            self._fed_from[row.subscription_id] = (
                gap.to_offset if row.attach_at is None else row.attach_at
            )
        for start in assignment.starts:
            is_new = start.kind is StartKind.NEW
            self._fed_to[start.subscription_id] = gap.from_offset if is_new else start.offset

    def by(self, subscription: Subscription) -> Operation | None:
        """Return what is told of *subscription*; None: it lost nothing."""
        gap, id_ = self._gap, subscription.id
        since = max(gap.from_offset, self._fed_from.get(id_, 0))
        to = min(gap.to_offset, self._fed_to.get(id_, gap.to_offset))
        if since >= to and gap.from_offset < gap.to_offset:  # a log made anew may be empty still
            return None
        if not any(_may_be_in(self._partition.topic, pattern) for pattern in subscription.types):
            return None
        return gap_operation(
            About.of(subscription),
            self._partition,
            from_offset=since,
            to_offset=to,
            from_time=None,
            to_time=None,
            reason=gap.reason,
        )


@cache
def _known() -> frozenset[str]:
    return frozenset(known.topic for known in catalogue.event_types().values())


def _may_be_in(topic: str, pattern: str) -> bool:
    """Tell whether *topic* may have events that *pattern* selects."""
    found = topics_of(pattern)
    if topic in _known():
        return topic in found or not found  # of an older catalogue: it may be any topic's
    return found != {OPS_TOPIC}
