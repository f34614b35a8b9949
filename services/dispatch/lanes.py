"""The lanes of a partition: who changed, who may be read, and who is fed is known, not looked for."""

from collections.abc import Sequence

from services.deliver.held import Held
from services.dispatch.lane import Lane
from services.kernel.ids import SubscriptionId
from services.match.index import Match

MAX_KNOWN = 10_000
"""Projects and types of which it is known who is fed: they are forgotten all at once."""


class Lanes(dict[SubscriptionId, Lane]):
    """The lanes of a partition. Thousands may rest, and nobody looks through all of them.

    A lane enters itself into `stirred` and `_free`; who looks there takes out what isn't so any more.
    One that comes, goes, or changes what is the feed's part empties `_fed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stirred: dict[SubscriptionId, Lane] = {}
        """Those that came or changed since their row was last written."""
        self._free: dict[SubscriptionId, Lane] = {}
        self._resting = Held()
        self._fed: dict[int, tuple[Sequence[Match], Sequence[Match]]] = {}
        """By identity: who wants events of a project and type, and who of them isn't passed over."""

    def __setitem__(self, id_: SubscriptionId, lane: Lane) -> None:
        super().__setitem__(id_, lane)
        lane.stirred, lane.free, lane.on_shared_out = self.stirred, self._free, self._fed.clear
        self.stirred[id_] = self._free[id_] = lane
        self._fed.clear()

    def __delitem__(self, id_: SubscriptionId) -> None:
        super().__delitem__(id_)
        self._fed.clear()

    def fed(self, matches: Sequence[Match]) -> Sequence[Match]:
        """Return those of *matches* that the feed has to look at.

        Where no filter decides, the matcher returns the same tuple each time: then this is one look-up,
        and not one for each of a thousand that are down, which costs a microsecond each.
        """
        if type(matches) is not tuple:
            return matches
        known = self._fed.get(id(matches))
        if known is None or known[0] is not matches:
            if len(self._fed) >= MAX_KNOWN:
                self._fed.clear()
            fed = [match for match in matches if not self._passes_over(match)]
            known = self._fed[id(matches)] = matches, fed
        return known[1]

    def _passes_over(self, match: Match) -> bool:
        lane = self.get(match.subscription.id)
        return lane is not None and lane.passed_over

    def has_free(self, now: float) -> bool:
        """Tell whether `free` may return any."""
        return bool(self._free) or self._resting.is_due(now)

    def free(self, now: float) -> list[Lane]:
        """Return those that are in no scan, and neither sleep nor rest."""
        for id_ in self._resting.take_due(now):
            if (rested := self.get(id_)) is not None:
                self._free[id_] = rested
        found = []
        for id_, lane in list(self._free.items()):
            if self.get(id_) is not lane or lane.asleep or lane.scan is not None:
                del self._free[id_]
            elif lane.rests_until > now:
                del self._free[id_]
                self._resting.hold(id_, lane.rests_until)
            else:
                found.append(lane)
        return found
