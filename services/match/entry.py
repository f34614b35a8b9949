"""Who wants events of one project and type: those without a filter, and those whose filter holds."""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import attrgetter
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


class Tree(NamedTuple):
    """Filters that are matched together, by the age of their subscriptions."""

    filtered: Sequence[Filtered]
    """By number in the bitmap."""
    matches: Sequence[Match]
    """The same, without the filters."""
    bitmap: Bitmap

    @classmethod
    def of(cls, filtered: Sequence[Filtered], bitmap: Bitmap) -> "Tree":
        """Return them with their bitmap, made of them in this order."""
        return cls(filtered, [match for match, _ in filtered], bitmap)

    def rows_of(self, id_: SubscriptionId) -> int:
        """Return the rows of a subscription; 0 where it isn't in the tree."""
        n = bisect_left(self.matches, id_, key=age)
        is_here = n < len(self.matches) and self.matches[n].subscription.id == id_
        return self.bitmap.rows_of(n) if is_here else 0


class Entry:
    """Never changed: a change makes another entry, which may share the tree."""

    __slots__ = ("always", "is_met", "is_plain", "rows", "singles", "tree")

    def __init__(
        self,
        always: tuple[Match, ...],
        *,
        tree: Tree | None = None,
        rows: int = 0,
        singles: tuple[Single, ...] = (),
    ) -> None:
        self.always = always
        """Those without a filter."""
        self.tree = tree
        self.rows = rows
        """Those of the tree that still stand."""
        self.singles = singles
        """A few filters, or those that changed since the tree was built: the overlay."""
        self.is_plain = tree is None and not singles
        """Whether nobody here has a filter."""
        self.is_met = False
        """Whether an event was matched since."""

    def match(self, body: Json, held: Held, failed: Failed) -> Sequence[Match]:
        """Return who wants an event, oldest first where some have filters."""
        found: list[Match] = []
        if self.tree is not None:
            try:
                found = self.tree.bitmap.select(self.tree.matches, body, self.rows)
            except Exception:  # noqa: BLE001 - of one among many: whose it is, the closures tell
                found = self._one_by_one(self.tree, body, held, failed)
        for match, holds in self.singles:
            try:
                if holds(body):
                    found.append(match)
            except Exception:  # noqa: BLE001 - of one filter, for this subscription only
                failed(match.subscription)
        if not found:
            return self.always
        return sorted((*self.always, *found), key=age) if self.always or self.singles else found

    def _one_by_one(self, tree: Tree, body: Json, held: Held, failed: Failed) -> list[Match]:
        found = []
        for n, (match, filter_) in enumerate(tree.filtered):
            if not self.rows & tree.bitmap.rows_of(n):
                continue
            try:
                if evaluator(filter_.rows, held.fences)(body):
                    found.append(match)
            except Exception:  # noqa: BLE001
                failed(match.subscription)
        return found

    def filtered(self, turn: int) -> Iterator[Subscription]:
        """Yield those that have a filter, each once; *turn* says who comes first."""
        of_tree = () if self.tree is None else self.tree.matches
        count = len(of_tree) + len(self.singles)
        for n in range(turn, turn + count):
            at = n % count
            if at >= len(of_tree):
                yield self.singles[at - len(of_tree)].match.subscription
            elif self.tree is not None and self.rows & self.tree.bitmap.rows_of(at):
                yield of_tree[at].subscription

    def without(self, ids: Collection[SubscriptionId], added: Sequence[Match | Single]) -> "Entry":
        """Return the entry without these subscriptions, and with what became of them."""
        rows = self.rows
        if self.tree is not None:
            for id_ in ids:
                rows &= ~self.tree.rows_of(id_)
        always = [match for match in self.always if match.subscription.id not in ids]
        singles = [single for single in self.singles if single.match.subscription.id not in ids]
        for each in added:
            if isinstance(each, Single):
                singles.append(each)
            else:
                always.append(each)
        return Entry(
            tuple(sorted(always, key=age)), tree=self.tree, rows=rows, singles=tuple(singles)
        )


age: Callable[[Match], SubscriptionId] = attrgetter("subscription.id")
"""What sorts matches by age: an id begins with the time of its making."""
filter_age: Callable[[Filtered], SubscriptionId] = attrgetter("match.subscription.id")
