"""Tables `lanes` and `starts`: who is behind, and where."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.kernel.event import Partition, Position
from services.kernel.ids import SubscriptionId
from services.kernel.lane import LaneChange, LaneGap, Start


class LaneStore(Protocol):
    """Tables `lanes` and `starts`, and the gaps of single subscriptions."""

    async def change(
        self, changes: Sequence[LaneChange], *, known: Mapping[Partition, int] | None = None
    ) -> Mapping[Partition, int]:
        """Make *changes* durable in one transaction, at most one of each lane.

        What was decided under an epoch that is over is left out. The answer and *known* are as for
        rows. Subscriptions that are deleted get no row.
        """

    async def starts(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Sequence[Start]:
        """Return what was promised to these subscriptions on these partitions."""

    async def rows(
        self, partitions: Collection[Partition], ids: Collection[SubscriptionId]
    ) -> Collection[tuple[Position, SubscriptionId]]:
        """Return what retry rows of these subscriptions stand for here: of a batch, each of its events.

        Not those that a rewind gave up: what such a batch has above where that begins is due again.
        """

    async def keep_gap(self, gap: LaneGap, *, from_time: datetime) -> bool:
        """Keep what a lane doesn't deliver; tell whether it is a gap that nobody was told of.

        What retention takes extends the lane's last gap if nothing was delivered since; else that is
        over and told of, and this is another. What a person had it leap over is kept once.
        """

    async def told_gap(self, gap: LaneGap) -> None:
        """Note that the gap which has the end of *gap* was told of."""
