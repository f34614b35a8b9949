"""Tables `replays` and `replay_ranges`: part of the log once more."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from services.kernel.event import Partition
from services.kernel.replay import Replay


class Advance(NamedTuple):
    """How far a replay is on one partition."""

    replay_id: str
    partition: Partition
    epoch: int
    cursor: int
    sent: int
    dead: int
    waiting: bool


class ReplayStore(Protocol):
    """Tables `replays` and `replay_ranges`."""

    async def active(self, partitions: Collection[Partition]) -> Sequence[Replay]:
        """Return those that have something left to send on these partitions."""

    async def advance(self, advances: Sequence[Advance], *, at: datetime) -> Sequence[Replay]:
        """Keep how far ranges are, where the epoch stands; return the replays that are done now.

        Their ends are told: the operational events are kept.
        """

    async def fail(self, id_: str, *, error: str, at: datetime) -> Replay | None:
        """End one that can't go on, and return it; None where it had ended."""
