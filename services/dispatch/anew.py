"""A lane begins anew: where is looked up, and what was settled before is skipped although it matches."""

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


class Anew:
    """What a lane knows of beginning elsewhere than where it stands."""

    __slots__ = (
        "_passed",
        "_settled",
        "asked",
        "before",
        "is_awaited",
        "replay_below",
        "takes_start",
    )

    def __init__(self) -> None:
        self.is_awaited = False
        """Whether it is still being looked up where it begins: then there is nothing to write yet."""
        self.asked = 0
        """How often it was told to begin elsewhere: only the answer to the latest look-up counts."""
        self.before: Subscription | None = None
        """Its subscription as it was before it began anew."""
        self.replay_below: int | None = None
        """Events below this offset are sent again because a person asked for it."""
        self.takes_start: int | None = None
        """The epoch of the promise that its row fulfils once it is written."""
        self._settled: set[int] | None = None
        """What was settled between learning that it begins anew and learning where."""
        self._passed: tuple[Passed, ...] = ()

    def wait(self, before: Subscription | None) -> None:
        """Wait until it is known where; *before* is the subscription as it was."""
        self.is_awaited = True
        self.before = before
        self._settled = set()

    def settle(self, offset: int) -> None:
        """Take in that *offset* is settled."""
        if self._settled is not None:
            self._settled.add(offset)
        for passed in self._passed:
            passed.add(offset)

    def found(self) -> set[int]:
        """End the waiting; return what was settled meanwhile."""
        self.is_awaited = False
        settled, self._settled = self._settled or set(), None
        return settled

    def rewind(self, *, below: int | None, but: Iterable[int]) -> None:
        """Send again what is *below*, *but* these offsets, and skip nothing else."""
        self.replay_below = below
        self._passed = (Passed(also=but),)

    def skip(self, known: SettledMap) -> None:
        """Skip what is *known* to be settled, as far as the subscription asked for it before."""
        if self.before is not None:
            self._passed += (Passed(known, was=self.before),)

    def has_passed(self, event: Event) -> bool:
        """Tell whether *event*, which matches, was settled before."""
        return any(passed.holds(event) for passed in self._passed)

    def is_again(self, offset: int) -> bool:
        """Tell whether *offset* is sent once more since a person asked for it."""
        return self.replay_below is not None and offset < self.replay_below

    def forget(self, below: int) -> None:
        """Drop what says nothing from the cursor *below* on."""
        if self._passed:
            self._passed = tuple(passed for passed in self._passed if passed.end > below)
