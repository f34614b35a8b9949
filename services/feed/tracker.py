"""Which offsets of a partition are open. Completion is out of order; the commit is not."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.feed.settled_map import NOTHING_SETTLED, SettledMap


class Progress(NamedTuple):
    """What can be committed now."""

    offset: int
    """Lowest open offset, or the next to read where none is open."""
    open: Sequence[int]
    """Open offsets from there on, ascending, below `end`."""
    end: int
    """Everything in [offset, end) that isn't open is settled; nothing is known from here on."""


class Tracker:
    """Open offsets of one partition under one epoch. 0.3 µs per delivery.

    An offset is open from `register` until it has been `matched` and each pair that was opened for it is
    settled. Settling a pair twice, or one never opened, changes nothing: answers can come late.
    """

    __slots__ = (
        "_closed",
        "_matched_to",
        "_open",
        "_partial",
        "_settled",
        "changed",
        "opened",
        "read_pos",
    )

    def __init__(self, *, start: int, settled: SettledMap = NOTHING_SETTLED) -> None:
        self._settled = settled
        # Offset to subscriptions not settled yet. Keys ascend, since offsets are registered in the
        # log's order and a dict keeps that of insertion: the lowest open offset is the first key.
        self._open: dict[int, set[str]] = {}
        self._partial: dict[int, None] = {}  # thousands are empty: a third of a set's size
        self._matched_to = start
        self.read_pos = start
        """The next offset to match."""
        self.opened = 0
        """Pairs so far, settled ones too."""
        self._closed = 0
        self.changed = False
        """Whether there is something to commit since this was last set to False."""

    def register(self, offsets: Iterable[int], *, next_offset: int) -> None:
        """Open *offsets*, ascending, all at or above `read_pos`; what follows begins at *next_offset*."""
        opened = self._open
        settled = self._settled
        for offset in offsets:
            if offset not in settled:
                opened[offset] = set()
        self.read_pos = next_offset
        if not opened:
            self._matched_to = next_offset
        self.changed = True

    def is_open(self, offset: int) -> bool:
        """Tell whether *offset* waits for anything; False for what an earlier epoch settled."""
        return offset in self._open

    def open(self, offset: int, subscription_id: str) -> None:
        """Note that the registered *offset* is due to this subscription."""
        pairs = self._open[offset]
        if subscription_id not in pairs:
            pairs.add(subscription_id)
            self.opened += 1

    def has_row(self, offset: int) -> None:
        """Note that a row settles a pair of *offset*: once it is deleted, nothing else says so."""
        self._partial[offset] = None

    def matched(self, offset: int) -> None:
        """Note that nothing more will be opened at *offset* or below."""
        self._matched_to = offset + 1
        pairs = self._open.get(offset)
        if pairs is not None and not pairs:
            del self._open[offset]
            self._partial.pop(offset, None)
            self.changed = True
        if not self._open:
            self._matched_to = self.read_pos

    def settle(self, offset: int, subscription_id: str) -> bool:
        """Settle one pair; tell whether it was open."""
        pairs = self._open.get(offset)
        if pairs is None or subscription_id not in pairs:
            return False
        pairs.discard(subscription_id)
        self._closed += 1
        if pairs or offset >= self._matched_to:
            self._partial[offset] = None
        else:
            del self._open[offset]
            self._partial.pop(offset, None)
            self.changed = True
        return True

    def waits_for(self, offset: int, subscription_id: str) -> bool:
        """Tell whether this pair is open."""
        return subscription_id in self._open.get(offset, ())

    def skip(self, offset: int) -> None:
        """Settle an offset further up that is known to be open, before it is read."""
        if offset >= self.read_pos and offset in self._settled.open:
            left = self._settled.open - {offset}
            self._settled = self._settled._replace(open=left)
            while self.read_pos in self._settled:  # needn't be read at all
                self.read_pos += 1
            if not self._open:
                self._matched_to = self.read_pos
            self.changed = True

    def is_ahead(self, offset: int) -> bool:
        """Tell whether *offset* is still to be read, and not known to be settled."""
        return offset >= self.read_pos and offset not in self._settled

    def open_of(self, ids: Collection[str]) -> Mapping[str, Sequence[int]]:
        """Return the open offsets of these subscriptions, ascending: one pass for all of them."""
        found: dict[str, list[int]] = defaultdict(list)
        for offset, pairs in self._open.items():
            for id_ in pairs if len(pairs) < len(ids) else ids:
                if id_ in pairs and id_ in ids:
                    found[id_].append(offset)
        return found

    def holders(self, below: int, *, most: int) -> Sequence[str]:
        """Return who holds the oldest open offsets: without them fewer than *below* were open."""
        chosen: dict[str, None] = {}
        left = len(self._open)
        for pairs in self._open.values():
            if left < below or len(chosen) >= most:
                break
            if not pairs <= chosen.keys():
                chosen.update(dict.fromkeys(sorted(pairs)))
                left = sum(not others <= chosen.keys() for others in self._open.values() if others)
        return list(chosen)

    @property
    def known(self) -> SettledMap:
        """What is settled, as far as this epoch has matched and an earlier one has read ahead.

        An offset that is open for any subscription counts as open.
        """
        end = max(self._matched_to, self._settled.end)
        still = {offset for offset in self._open if offset < end}
        ahead = {offset for offset in self._settled.open if offset >= self.read_pos}
        return SettledMap(self.lowest - 1, end, frozenset(still | ahead))

    def known_but(self, own: Iterable[int], *, above: int = 0) -> SettledMap:
        """Return the same for one subscription, of which only the *own* offsets are open.

        What lies below *above* was never this tracker's.
        """
        since = max(self._matched_to, above)
        ahead = (offset for offset in self._settled.open if offset >= since)
        still = frozenset((*own, *ahead))
        end = max(since, self._settled.end)
        return SettledMap(min(still, default=end) - 1, end, still)

    @property
    def known_to(self) -> int:
        """The first offset that is neither read now nor known from an earlier epoch."""
        return max(self.read_pos, self._settled.end)

    def is_partial(self, offset: int) -> bool:
        """Tell whether some pair of this open offset is settled: reading it again may repeat that."""
        return offset in self._partial

    @property
    def matched_to(self) -> int:
        """Everything below has been matched."""
        return self._matched_to

    @property
    def lowest(self) -> int:
        """What may be committed: nothing below is open."""
        return next(iter(self._open), self.read_pos)

    @property
    def open_count(self) -> int:
        """Offsets that hold up the commit, or wait above it."""
        return len(self._open)

    @property
    def pairs(self) -> int:
        """Deliveries that offsets are open for."""
        return self.opened - self._closed

    @property
    def span(self) -> int:
        """Offsets between what may be committed and what is read next."""
        return self.read_pos - self.lowest

    def progress(self) -> Progress:
        """Return what to commit. Unmatched offsets lie at the end; the map needn't name them.

        What an earlier epoch settled further up is included: an owner that stops before it has read all
        of that must not make the next one repeat it.
        """
        lowest = self.lowest
        end = max(self._matched_to, self._settled.end, lowest)
        still = [offset for offset in self._open if offset < end]
        if self._settled.end > self.read_pos:
            still += sorted(offset for offset in self._settled.open if offset >= self.read_pos)
        return Progress(lowest, still, end)

    def __repr__(self) -> str:
        return f"<Tracker {self.lowest}…{self.read_pos} | {self.open_count} open>"
