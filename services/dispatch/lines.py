"""What waits beside the outboxes, by lane: shared by `latest` and `expiry`, which say what a line holds.

A line is of one lane and one reading of it. When the lane starts over, or its partition is let go of,
what the line holds is read again, by whoever goes on: it must not be sent from here as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from services.dispatch.lane import Lane
from services.dispatch.owned import Owned, OwnedPartitions
from services.kernel.clock import Clock
from services.kernel.event import Partition
from services.kernel.ids import SubscriptionId

LOOK_SECONDS = 0.1
"""How late what is due may be sent, at most."""
LOOKS_SHARE = 20
"""With very many waiting, looking at them takes a twentieth of the loop."""
SWEEP_SECONDS = 10.0

Place: TypeAlias = tuple[Partition, SubscriptionId]


@dataclass(eq=False)
class Line:
    """What waits in one lane."""

    owned: Owned
    lane: Lane
    generation: int
    """Of the lane, when what waits was read."""
    begun: int
    """How often its subscription had begun anew by then."""

    @property
    def place(self) -> Place:
        """Where its lane is."""
        return self.owned.partition, self.lane.subscription_id


L = TypeVar("L", bound=Line)


class Lines(Generic[L]):
    """All lines of a worker, and which of them have something that waits."""

    def __init__(self, *, partitions: OwnedPartitions, clock: Clock) -> None:
        self._partitions = partitions
        self._clock = clock
        self._lines: dict[Place, L] = {}
        self._waiting: dict[Place, L] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def get(self, place: Place) -> L | None:
        """Return the line of a lane, if there is one."""
        return self._lines.get(place)

    def of(self, owned: Owned, lane: Lane, make: Callable[[], L]) -> L:
        """Return the line of *lane*, made where there is none or one of an earlier spell."""
        place = owned.partition, lane.subscription_id
        line = self._lines.get(place)
        if line is None or line.owned is not owned or line.lane is not lane:
            line = self._lines[place] = make()
        return line

    def waits(self, line: L) -> None:
        """Have *line* looked at until it is `done`."""
        self._waiting[line.place] = line

    def done(self, line: L) -> None:
        """Look at *line* no more: nothing in it waits, or what does is read again."""
        self._waiting.pop(line.place, None)

    def is_current(self, line: L) -> bool:
        """Tell whether what *line* holds may be sent: its lane is there, and wasn't started over."""
        return line.generation == line.lane.generation and self._stands(line)

    async def run(self, hand_out: Callable[[L], None]) -> None:
        """Have *hand_out* look at each line that waits ten times a second, until cancelled."""
        sweep_at, spent = self._clock.monotonic() + SWEEP_SECONDS, 0.0
        while True:
            await self._clock.sleep(max(LOOK_SECONDS, spent * LOOKS_SHARE))
            began = self._clock.monotonic()
            for line in list(self._waiting.values()):
                hand_out(line)
            if began >= sweep_at:
                sweep_at = began + SWEEP_SECONDS
                self._lines = {place: x for place, x in self._lines.items() if self._stands(x)}
            spent = self._clock.monotonic() - began

    def _stands(self, line: L) -> bool:
        """Tell whether its lane is still there."""
        return self._partitions.stands(line.owned, line.lane)
