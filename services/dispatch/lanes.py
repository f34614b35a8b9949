"""The lanes of a partition: who changed and who may be read is known, not looked for."""

from services.deliver.held import Held
from services.dispatch.lane import Lane
from services.kernel.ids import SubscriptionId


class Lanes(dict[SubscriptionId, Lane]):
    """The lanes of a partition. Thousands may rest, and nobody looks through all of them.

    A lane enters itself into `stirred` and `_free`; who looks there takes out what isn't so any more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stirred: dict[SubscriptionId, Lane] = {}
        """Those that came or changed since their row was last written."""
        self._free: dict[SubscriptionId, Lane] = {}
        self._resting = Held()

    def __setitem__(self, id_: SubscriptionId, lane: Lane) -> None:
        super().__setitem__(id_, lane)
        lane.stirred, lane.free = self.stirred, self._free
        self.stirred[id_] = self._free[id_] = lane

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
