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

    They come by `lanes[id] = …` and go by `del`, and by nothing else. A lane enters itself into `stirred`
    and `_free`; who looks there takes out what isn't so any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stirred: dict[SubscriptionId, Lane] = {}
        """Those that came or changed since their row was last written."""
        self.near: dict[SubscriptionId, Lane] = {}
        """Those whose matches concern the feed: placeholders until a row is durable, or its own part."""
        self._free: dict[SubscriptionId, Lane] = {}
        self._resting = Held()
        self._fed: dict[int, tuple[Sequence[Match], Sequence[Match]]] = {}
        """By identity: who wants events of a project and type, and who of them isn't passed over."""
        self._tell = self._shared_out
        """One for all lanes: a method is made anew each time it is looked up."""

    def __setitem__(self, id_: SubscriptionId, lane: Lane) -> None:
        super().__setitem__(id_, lane)
        lane.stirred, lane.free, lane.on_shared_out = self.stirred, self._free, self._tell
        self.stirred[id_] = self._free[id_] = lane
        self._shared_out(lane)

    def __delitem__(self, id_: SubscriptionId) -> None:
        super().__delitem__(id_)
        self.near.pop(id_, None)
        self._fed.clear()

    def _shared_out(self, lane: Lane) -> None:
        """Take in what has become the feed's part of a lane's subscription."""
        id_ = lane.subscription_id
        if self.get(id_) is not lane:
            return
        if lane.passed_over:
            self.near.pop(id_, None)
        else:
            self.near[id_] = lane
        self._fed.clear()

    def fed(self, matches: Sequence[Match]) -> Sequence[Match]:
        """Return those of *matches* that have no lane, or one that is `near`.

        Where no filter decides, the matcher returns the same tuple each time: then this is one look-up,
        and not one for each of a thousand that are down, which costs a microsecond each.
        """
        if type(matches) is not tuple:
            return self._not_passed_over(matches)
        known = self._fed.get(id(matches))
        if known is None or known[0] is not matches:
            if len(self._fed) >= MAX_KNOWN:
                self._fed.clear()
            known = self._fed[id(matches)] = matches, self._not_passed_over(matches)
        return known[1]

    def _not_passed_over(self, matches: Sequence[Match]) -> Sequence[Match]:
        near = self.near
        return [
            match for match in matches if (id_ := match.subscription.id) not in self or id_ in near
        ]

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
