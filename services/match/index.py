"""All subscriptions by project and type: what an event costs hardly depends on how many there are.

An entry per (project, type) is built on first use and never changed. Where a project has many
filters its entry is a tree; a change then makes an entry with the same tree, without the rows that
are gone and with what is new beside it, so that it takes effect between two events. Such entries are
built anew by `rebuild`, in steps of a few milliseconds. So are the first ones of big projects, where
whoever has an event of theirs asks `is_ready` and lets `prepare` do it.

A stored filter that can't be read, of another version perhaps, matches nothing and is told of. One
that fails on events is let fail for its own subscription alone, and is switched off after a few.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from services.kernel.event import Event
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import Subscription
from services.match.entry import ONE_BY_ONE, Entry, Filtered, Match, Single, Tree, age, filter_age
from services.match.fences import NO_FENCES, Fences
from services.match.filters import Filter, evaluator, refusing, stored
from services.match.filters.bitmap import building
from services.match.filters.places import Held
from services.match.types import asked_name
from services.observe import metrics

__all__ = ["Match", "Matcher", "Refusal"]

MAX_TYPES = 1_024
"""Entries of one project: names of types come from producers, so they are bounded."""
IN_ONE_GO = 200
"""Subscriptions of a project up to which an entry is built within a few milliseconds."""
MAX_OVERLAY = 64
"""Filters beside a tree; with more of them the entry is built anew before its next event."""
STEP_SECONDS = 0.004
MAX_FAILURES = 10
"""Of one filter, until it is switched off."""


class Refusal(NamedTuple):
    """Which clauses of a filter say no to an event."""

    id: SubscriptionId
    pointers: Sequence[str]
    """In the filter; none: it says yes."""


class _Wanting(NamedTuple):
    """Who wants events of a type."""

    always: list[Match]
    filtered: list[Filtered]
    broken: list[Subscription]


class _Project:
    """The subscriptions of one project, and the entries made of them."""

    __slots__ = ("building", "entries", "held", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: dict[SubscriptionId, Subscription] = {}
        self.entries: OrderedDict[str, Entry] = OrderedDict()
        """The one used last comes last."""
        self.held = Held()
        self.building: list[list[Collection[SubscriptionId]]] = []
        """For each entry that is being built in steps: whom changes since then were about."""


class Matcher:
    """Called between two events; nothing here waits."""

    def __init__(self, *, on_broken: Callable[[Subscription], None] = lambda _: None) -> None:
        """Tell *on_broken* of a subscription whose filter can't be used: it matches nothing."""
        self._on_broken = on_broken
        self._projects: dict[str, _Project] = {}
        self._trees: dict[SubscriptionId, tuple[str, Filter | None]] = {}
        self._failures: dict[SubscriptionId, int] = {}
        self._stale: dict[tuple[str, str], None] = {}

    def learn(self, subscriptions: Iterable[Subscription]) -> Iterator[None]:
        """Read the filters of these, in steps of a few milliseconds: ahead of their use."""
        until = time.perf_counter() + STEP_SECONDS
        for subscription in subscriptions:
            if subscription.filter is not None:
                self._tree(subscription)
                if time.perf_counter() > until:
                    yield
                    until = time.perf_counter() + STEP_SECONDS

    def replace_all(self, subscriptions: Iterable[Subscription]) -> None:
        """Hold these and no others."""
        fences = {id_: project.held.fences for id_, project in self._projects.items()}
        self._projects = {}
        self._stale = {}
        for subscription in subscriptions:
            self._project(subscription.project_id).subscriptions[subscription.id] = subscription
        for id_, of_project in fences.items():
            if of_project is not NO_FENCES:
                self._project(id_).held.fences = of_project
        known = {id_ for project in self._projects.values() for id_ in project.subscriptions}
        self._trees = {id_: tree for id_, tree in self._trees.items() if id_ in known}

    def apply(self, changed: Iterable[Subscription], removed: Collection[Subscription]) -> None:
        """Take over *changed* and drop *removed*; takes effect between two events."""
        ids: dict[str, set[SubscriptionId]] = {}
        for subscription in removed:
            project = self._projects.get(subscription.project_id)
            if project is not None and subscription.id in project.subscriptions:
                del project.subscriptions[subscription.id]
                ids.setdefault(subscription.project_id, set()).add(subscription.id)
            self._trees.pop(subscription.id, None)
            self._failures.pop(subscription.id, None)
        for subscription in changed:
            project = self._project(subscription.project_id)
            project.subscriptions[subscription.id] = subscription
            ids.setdefault(subscription.project_id, set()).add(subscription.id)
        for project_id, of_project in ids.items():
            self._overlay(project_id, of_project)

    def set_fences(self, project_id: ProjectId, fences: Fences) -> None:
        """Swap the geofences of a project: between two events, and no tree is made anew."""
        project = self._project(project_id)
        project.held.fences = fences
        # Filters that are evaluated by themselves have taken the fences in.
        singles = [type_ for type_, entry in project.entries.items() if entry.singles]
        self._drop(project_id, project, singles)

    def is_ready(self, event: Event) -> bool:
        """Tell whether `match` answers at once; else `prepare` comes first."""
        project = self._projects.get(event.project_id)
        return (
            project is None
            or event.type in project.entries
            or len(project.subscriptions) <= IN_ONE_GO
        )

    def prepare(self, project_id: str, type_: str) -> Iterator[None]:
        """Build what `match` needs, in steps of a few milliseconds."""
        project = self._projects.get(project_id)
        if project is not None and type_ not in project.entries:
            yield from self._building(project_id, project, type_)

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, paused and disabled ones too, oldest first."""
        project = self._projects.get(event.project_id)
        if project is None:
            return ()
        entries, type_ = project.entries, event.type
        entry = entries.get(type_)
        if entry is None:
            entry = self._build(event.project_id, project, type_)
        else:
            entries.move_to_end(type_)
        if entry.is_plain:
            return entry.always
        entry.is_met = True
        return entry.match(event.body, project.held, self._failed)

    def wants(self, id_: SubscriptionId, event: Event) -> Match | None:
        """Return whether one subscription wants *event*: evaluated by itself."""
        project = self._projects.get(event.project_id)
        found = self._added(project, event.type, [id_]) if project is not None else []
        for each in found:
            if isinstance(each, Match):
                return each
            try:
                if each.holds(event.body):
                    return each.match
            except Exception:  # noqa: BLE001 - of its filter
                self._failed(each.match.subscription)
        return None

    def refused(self, event: Event, *, turn: int) -> Iterator[Refusal]:
        """Yield whose filter says no to *event*, which `match` has seen; *turn*: who comes first.

        Each costs as much as to explain it: whoever asks stops when it has been enough.
        """
        project = self._projects.get(event.project_id)
        entry = None if project is None else project.entries.get(event.type)
        if project is None or entry is None:
            return
        for subscription in entry.filtered(turn):
            tree = self._tree(subscription)
            if tree is None:
                continue
            try:
                pointers = refusing(tree, event.body, fences=project.held.fences)
            except Exception:  # noqa: BLE001 - of its filter: `match` has counted it
                pointers = []
            yield Refusal(subscription.id, pointers)

    def rebuild(self) -> Iterator[None]:
        """Build the trees anew that have changes beside them, in steps of a few milliseconds.

        A tree that no event has met since it changed waits until one does.
        """
        for project_id, type_ in list(self._stale):
            project = self._projects.get(project_id)
            entry = project.entries.get(type_) if project is not None else None
            if project is None or entry is None:
                self._stale.pop((project_id, type_), None)
            elif entry.is_met:
                self._stale.pop((project_id, type_), None)
                yield from self._building(project_id, project, type_)

    def _project(self, project_id: str) -> _Project:
        return self._projects.setdefault(project_id, _Project())

    def _tree(self, subscription: Subscription) -> Filter | None:
        """Return the filter of a subscription, read once per stored version; None: it is broken."""
        text = subscription.filter or ""
        known = self._trees.get(subscription.id)
        if known is not None and known[0] == text:
            return known[1]
        self._failures.pop(subscription.id, None)
        tree = stored(text)
        self._trees[subscription.id] = (text, tree)
        return tree

    def _failed(self, subscription: Subscription) -> None:
        """Count a filter that failed on an event; switch it off when it does so again and again."""
        metrics.FILTER_ERRORS.inc()
        count = self._failures.get(subscription.id, 0) + 1
        self._failures[subscription.id] = count
        if count == MAX_FAILURES:
            self._trees[subscription.id] = (subscription.filter or "", None)
            self._overlay(subscription.project_id, {subscription.id})
            self._on_broken(subscription)

    def _build(self, project_id: str, project: _Project, type_: str) -> Entry:
        steps = self._building(project_id, project, type_)
        while True:  # in one go
            try:
                next(steps)
            except StopIteration as done:
                entry: Entry = done.value
                return entry

    def _building(
        self, project_id: str, project: _Project, type_: str
    ) -> Generator[None, None, Entry]:
        """Build an entry in steps, and put it in its place with what changed meanwhile."""
        changed: list[Collection[SubscriptionId]] = []
        project.building.append(changed)
        try:
            found = _Wanting([], [], [])
            until = time.perf_counter() + STEP_SECONDS
            for subscription in list(project.subscriptions.values()):
                self._sort_in(found, subscription, type_)
                if time.perf_counter() > until:  # a filter may have to be read first
                    yield
                    until = time.perf_counter() + STEP_SECONDS
            always, filtered, broken = found
            if filtered:  # the two are told together
                always.sort(key=age)
                filtered.sort(key=filter_age)
            tree = None
            if len(filtered) > ONE_BY_ONE:
                yield  # to sort ten thousand takes long enough for a step
                rows = [filter_.rows for _, filter_ in filtered]
                tree = Tree.of(filtered, (yield from building(rows, project.held)))
        finally:
            project.building = [each for each in project.building if each is not changed]
        entry = _entry(always, filtered, tree, project.held)
        if self._projects.get(project_id) is not project:
            return entry  # all were replaced meanwhile
        for ids in changed:
            entry = entry.without(ids, self._added(project, type_, ids))
            self._stale[project_id, type_] = None
        if type_ not in project.entries and len(project.entries) >= MAX_TYPES:
            self._drop(project_id, project, [next(iter(project.entries))])
        project.entries[type_] = entry
        for subscription in broken:  # may change what is held here
            self._on_broken(subscription)
        return entry

    def _sort_in(self, found: _Wanting, subscription: Subscription, type_: str) -> None:
        asked = asked_name(subscription.types, type_, subscription.profile)
        if asked is None:
            return
        if subscription.filter is None:
            found.always.append(Match(subscription, asked))
        elif (tree := self._tree(subscription)) is not None:
            found.filtered.append(Filtered(Match(subscription, asked), tree))
        else:
            found.broken.append(subscription)

    def _overlay(self, project_id: str, ids: Collection[SubscriptionId]) -> None:
        project = self._projects[project_id]
        for changed in project.building:
            changed.append(ids)
        for type_, entry in list(project.entries.items()):
            if entry.tree is None or len(entry.singles) + len(ids) > MAX_OVERLAY:
                self._drop(project_id, project, [type_])
                continue
            project.entries[type_] = entry.without(ids, self._added(project, type_, ids))
            self._stale[project_id, type_] = None

    def _added(
        self, project: _Project, type_: str, ids: Collection[SubscriptionId]
    ) -> list[Match | Single]:
        """Return those of the subscriptions *ids*, as they are now, that want events of a type."""
        found: list[Match | Single] = []
        for id_ in ids:
            subscription = project.subscriptions.get(id_)
            if subscription is None:
                continue
            asked = asked_name(subscription.types, type_, subscription.profile)
            if asked is None:
                continue
            match = Match(subscription, asked)
            if subscription.filter is None:
                found.append(match)
            elif (tree := self._tree(subscription)) is not None:
                found.append(Single(match, evaluator(tree, project.held.fences)))
        return found

    def _drop(self, project_id: str, project: _Project, types: Iterable[str]) -> None:
        for type_ in types:
            del project.entries[type_]
            self._stale.pop((project_id, type_), None)


def _entry(
    always: Sequence[Match], filtered: Sequence[Filtered], tree: Tree | None, held: Held
) -> Entry:
    if tree is not None:
        return Entry(tuple(always), tree=tree, rows=tree.bitmap.every)
    singles = (Single(match, evaluator(filter_, held.fences)) for match, filter_ in filtered)
    return Entry(tuple(always), singles=tuple(singles))
