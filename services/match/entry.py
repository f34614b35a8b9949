"""Who wants events of one project and type: those without a filter, and those whose filter holds."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from services.kernel.event import Json
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Subscription
from services.match.filters import Filter
from services.match.filters.bitmap import Bitmap
from services.match.filters.closures import Evaluator, evaluator
from services.match.filters.places import Held

ONE_BY_ONE = 4
"""Filters up to which closures are faster than a tree."""


class Match(NamedTuple):
    """A subscription that wants an event, and in which name."""

    subscription: Subscription
    asked: str


class Filtered(NamedTuple):
    """A match, if the filter holds."""

    match: Match
    tree: Filter


class Single(NamedTuple):
    """A filter that is evaluated by itself."""

    match: Match
    holds: Evaluator


Failed: TypeAlias = Callable[[Subscription], None]
"""Told of a subscription whose filter raised."""


class Entry:
    """Never changed but for its counts: a change makes another entry, which may share the tree."""

    __slots__ = (
        "always",
        "bitmap",
        "filtered",
        "gone",
        "hits",
        "hits_of_tree",
        "rows",
        "seen",
        "singles",
    )

    def __init__(
        self,
        always: tuple[Match, ...],
        *,
        filtered: Sequence[Filtered] = (),
        bitmap: Bitmap | None = None,
        rows: int = 0,
        singles: tuple[Single, ...] = (),
        gone: frozenset[SubscriptionId] = frozenset(),
    ) -> None:
        self.always = always
        """Those without a filter."""
        self.filtered = filtered
        """By number in the tree."""
        self.bitmap = bitmap
        self.rows = rows
        """Those of the tree that still stand."""
        self.gone = gone
        """Who was changed or removed since the tree was built."""
        self.singles = singles
        """A few filters, or those that changed since the tree was built: the overlay."""
        self.seen = 0
        self.hits: dict[SubscriptionId, int] = {}
        """Of those evaluated by themselves."""
        self.hits_of_tree = [0] * len(filtered)

    def match(self, body: Json, held: Held, failed: Failed) -> Sequence[Match]:
        """Return who wants an event, oldest first where some have filters."""
        found = self._of_tree(body, held, failed)
        hits = self.hits
        for match, holds in self.singles:
            try:
                if holds(body):
                    found.append(match)
                    id_ = match.subscription.id
                    hits[id_] = hits.get(id_, 0) + 1
            except Exception:  # noqa: BLE001 - of one filter, for this subscription only
                failed(match.subscription)
        if not found:
            return self.always
        return sorted((*self.always, *found), key=_age) if self.always or self.singles else found

    def _of_tree(self, body: Json, held: Held, failed: Failed) -> list[Match]:
        if self.bitmap is None:
            return []
        filtered, hits = self.filtered, self.hits_of_tree
        try:
            numbers = self.bitmap.match(body, self.rows)
        except Exception:  # noqa: BLE001 - of one filter among many: whose it is, the closures tell
            numbers = self._one_by_one(body, held, failed)
        for n in numbers:
            hits[n] += 1
        return [filtered[n].match for n in numbers]

    def _one_by_one(self, body: Json, held: Held, failed: Failed) -> list[int]:
        found = []
        for n, (match, tree) in enumerate(self.filtered):
            if self.bitmap is None or not self.rows & self.bitmap.rows_of(n):
                continue
            try:
                if evaluator(tree.rows, held.fences)(body):
                    found.append(n)
            except Exception:  # noqa: BLE001
                failed(match.subscription)
        return found

    def without(self, ids: Collection[SubscriptionId], added: Sequence[Match | Single]) -> "Entry":
        """Return the entry without these subscriptions, and with what became of them."""
        rows = self.rows
        if self.bitmap is not None:
            for n, (match, _) in enumerate(self.filtered):
                if match.subscription.id in ids:
                    rows &= ~self.bitmap.rows_of(n)
        always = [match for match in self.always if match.subscription.id not in ids]
        singles = [single for single in self.singles if single.match.subscription.id not in ids]
        for each in added:
            if isinstance(each, Single):
                singles.append(each)
            else:
                always.append(each)
        return Entry(
            tuple(sorted(always, key=_age)),
            filtered=self.filtered,
            bitmap=self.bitmap,
            rows=rows,
            singles=tuple(singles),
            gone=self.gone.union(ids),
        )

    def matched(self) -> dict[SubscriptionId, int]:
        """Return how many events each filter held for, those it didn't left out."""
        of_tree = zip(self.filtered, self.hits_of_tree, strict=True)
        found = {each.match.subscription.id: count for each, count in of_tree if count}
        for id_, count in self.hits.items():
            found[id_] = found.get(id_, 0) + count
        return found

    def forget(self) -> None:
        """Begin to count anew."""
        self.seen = 0
        self.hits = {}
        self.hits_of_tree = [0] * len(self.filtered)

    @property
    def judged(self) -> list[SubscriptionId]:
        """Whose filters are evaluated."""
        of_tree = [match.subscription.id for match, _ in self.filtered]
        singles = [single.match.subscription.id for single in self.singles]
        return [*(id_ for id_ in of_tree if id_ not in self.gone), *singles]


def _age(match: Match) -> str:
    return match.subscription.id  # begins with the time of its making
