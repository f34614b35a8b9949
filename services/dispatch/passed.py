"""What a lane skips although it matches, because it was settled before the lane began anew."""

from collections.abc import Iterable

from services.feed.settled_map import SettledMap
from services.kernel.event import Event
from services.kernel.subscription import Subscription
from services.match.types import asked_name

NOTHING = SettledMap(-1, 0, frozenset())


class Passed:
    """The settled offsets of a lane that began anew: those known then, and those settled since.

    If types were added, the subscription as it *was* before tells what can have been settled at all: an
    event of a new type was only read past.
    """

    __slots__ = ("_also", "_known", "_was")

    def __init__(
        self,
        known: SettledMap = NOTHING,
        *,
        also: Iterable[int] = (),
        was: Subscription | None = None,
    ) -> None:
        self._known = known
        self._also = set(also)
        self._was = was

    def add(self, offset: int) -> None:
        """Take in that *offset* is settled."""
        self._also.add(offset)

    def holds(self, event: Event) -> bool:
        """Tell whether *event* isn't due any more."""
        offset = event.position.offset
        known = self._known
        if offset > known.base and offset not in known and offset not in self._also:
            return False  # below what is known everything is settled
        was = self._was
        return was is None or asked_name(was.types, event.type, was.profile) is not None

    @property
    def end(self) -> int:
        """From here on it says nothing."""
        return max(self._known.end, max(self._also, default=-1) + 1)
