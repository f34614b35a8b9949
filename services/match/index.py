"""All subscriptions by project and type: what an event costs hardly depends on how many there are.

An entry per (project, type) is built on first use and never changed. Where a project has many
filters its entry is a tree; a change then makes an entry with the same tree, without the rows that
are gone and with what is new beside it, so that it takes effect between two events. Such entries are
built anew by `rebuild`, in steps of a few milliseconds.

A stored filter that can't be read, of another version perhaps, matches nothing and is told of. One
that fails on events is let fail for its own subscription alone, and is switched off after a few.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from services.kernel.event import Event
from services.kernel.geofence import Geofence
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import Subscription
from services.match.entry import ONE_BY_ONE, Entry, Filtered, Match, Single
from services.match.fences import NO_FENCES, Fences
from services.match.filters import Filter, evaluator, stored
from services.match.filters.bitmap import Bitmap, build, building
from services.match.filters.places import Held
from services.match.types import asked_name
from services.observe import metrics

__all__ = ["Match", "Matcher", "Seen"]

MAX_TYPES = 1_024
"""Entries of one project: names of types come from producers, so they are bounded."""
MAX_GONE = 256
"""Counts of entries that are no more; the oldest are dropped where nobody asks for them."""
STEP_SECONDS = 0.004
MAX_FAILURES = 10
"""Of one filter, until it is switched off."""


class Seen(NamedTuple):
    """How many events an entry saw, and whom they matched, since it was last asked."""

    always: Sequence[SubscriptionId]
    """Without a filter: all of the events."""
    filtered: Sequence[SubscriptionId]
    matched: dict[SubscriptionId, int]
    """Of the filtered ones."""
    events: int


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
        self.entries: dict[str, Entry] = {}
        self.held = Held()
        self.building: list[Collection[SubscriptionId]] | None = None
        """While an entry is built in steps: what changed meanwhile."""


class Matcher:
    """Called between two events; nothing here waits."""

    def __init__(self, *, on_broken: Callable[[Subscription], None] = lambda _: None) -> None:
        """Tell *on_broken* of a subscription whose filter can't be used: it matches nothing."""
        self._on_broken = on_broken
        self._projects: dict[str, _Project] = {}
        self._trees: dict[SubscriptionId, tuple[str, Filter | None]] = {}
        self._failures: dict[SubscriptionId, int] = {}
        self._stale: dict[tuple[str, str], None] = {}
        self._gone: deque[Seen] = deque(maxlen=MAX_GONE)

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

    def set_geofences(self, project_id: ProjectId, geofences: Sequence[Geofence]) -> None:
        """Swap the geofences of a project: between two events, and no tree is made anew."""
        project = self._project(project_id)
        project.held.fences = Fences.of(geofences) if geofences else NO_FENCES
        # Filters that are evaluated by themselves have taken the fences in.
        singles = [type_ for type_, entry in project.entries.items() if entry.singles]
        self._drop(project_id, project, singles)

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, paused and disabled ones too, oldest first."""
        project = self._projects.get(event.project_id)
        if project is None:
            return ()
        entry = project.entries.get(event.type)
        if entry is None:
            entry = self._build(event.project_id, project, event.type)
        entry.seen += 1
        if entry.bitmap is None and not entry.singles:
            return entry.always
        return entry.match(event.body, project.held, self._failed)

    def rebuild(self) -> Iterator[None]:
        """Build the trees anew that have changes beside them, in steps of a few milliseconds.

        A tree that no event has met since it changed waits until one does.
        """
        for project_id, type_ in list(self._stale):
            project = self._projects.get(project_id)
            entry = project.entries.get(type_) if project is not None else None
            if project is None or entry is None:
                self._stale.pop((project_id, type_), None)
            elif entry.seen:
                self._stale.pop((project_id, type_), None)
                yield from self._rebuild(project_id, project, type_)

    def take_seen(self) -> Iterator[Seen]:
        """Yield what was seen and matched since the last call, an entry at a time."""
        while self._gone:
            yield self._gone.popleft()
        for project in list(self._projects.values()):
            for entry in list(project.entries.values()):
                if entry.seen:
                    yield _seen(entry)

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

    def _wanting(self, project: _Project, type_: str) -> _Wanting:
        found = _Wanting([], [], [])
        for subscription in project.subscriptions.values():
            asked = asked_name(subscription.types, type_, subscription.profile)
            if asked is None:
                continue
            if subscription.filter is None:
                found.always.append(Match(subscription, asked))
            elif (tree := self._tree(subscription)) is not None:
                found.filtered.append(Filtered(Match(subscription, asked), tree))
            else:
                found.broken.append(subscription)
        if found.filtered:  # the two are told together
            found.always.sort(key=lambda match: match.subscription.id)
            found.filtered.sort(key=lambda each: each.match.subscription.id)
        return found

    def _build(self, project_id: str, project: _Project, type_: str) -> Entry:
        always, filtered, broken = self._wanting(project, type_)
        bitmap = None
        if len(filtered) > ONE_BY_ONE:
            bitmap = build([tree.rows for _, tree in filtered], project.held)
        entry = _entry(always, filtered, bitmap, project.held)
        if len(project.entries) >= MAX_TYPES:
            self._drop(project_id, project, [next(iter(project.entries))])
        project.entries[type_] = entry
        for subscription in broken:  # may change what is held here
            self._on_broken(subscription)
        return entry

    def _overlay(self, project_id: str, ids: Collection[SubscriptionId]) -> None:
        project = self._projects[project_id]
        if project.building is not None:
            project.building.append(ids)
        small = [type_ for type_, entry in project.entries.items() if entry.bitmap is None]
        self._drop(project_id, project, small)
        for type_, entry in list(project.entries.items()):
            self._replace(project, type_, entry.without(ids, self._added(project, type_, ids)))
            self._stale[project_id, type_] = None

    def _added(
        self, project: _Project, type_: str, ids: Collection[SubscriptionId]
    ) -> list[Match | Single]:
        """Return what has become of the subscriptions *ids* that want events of a type."""
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

    def _rebuild(self, project_id: str, project: _Project, type_: str) -> Iterator[None]:
        changed: list[Collection[SubscriptionId]] = []
        project.building = changed
        always, filtered, _ = self._wanting(project, type_)
        yield
        bitmap: Bitmap | None = None
        if len(filtered) > ONE_BY_ONE:
            bitmap = yield from building([tree.rows for _, tree in filtered], project.held)
        project.building = None
        if self._projects.get(project_id) is not project or type_ not in project.entries:
            return
        entry = _entry(always, filtered, bitmap, project.held)
        for ids in changed:
            entry = entry.without(ids, self._added(project, type_, ids))
        self._replace(project, type_, entry)

    def _replace(self, project: _Project, type_: str, entry: Entry) -> None:
        before = project.entries[type_]
        if before.seen:
            self._gone.append(_seen(before))
        project.entries[type_] = entry

    def _drop(self, project_id: str, project: _Project, types: Iterable[str]) -> None:
        for type_ in types:
            entry = project.entries.pop(type_)
            self._stale.pop((project_id, type_), None)
            if entry.seen:
                self._gone.append(_seen(entry))


def _entry(
    always: Sequence[Match], filtered: Sequence[Filtered], bitmap: Bitmap | None, held: Held
) -> Entry:
    if bitmap is not None:
        return Entry(tuple(always), filtered=filtered, bitmap=bitmap, rows=bitmap.every)
    singles = (Single(match, evaluator(tree, held.fences)) for match, tree in filtered)
    return Entry(tuple(always), singles=tuple(singles))


def _seen(entry: Entry) -> Seen:
    """Return the counts of an entry, and begin anew."""
    seen = Seen(
        always=[match.subscription.id for match in entry.always],
        filtered=entry.judged,
        matched=entry.matched(),
        events=entry.seen,
    )
    entry.forget()
    return seen
