"""All subscriptions by project and type. What an event costs doesn't depend on how many there are."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from services.kernel.event import Event
from services.kernel.geofence import Geofence
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import Subscription
from services.match.fences import NO_FENCES, Fences
from services.match.filters import Filter, evaluator, stored
from services.match.filters.closures import Evaluator
from services.match.types import asked_name

MAX_TYPES = 1_024
"""Entries of one project: names of types come from producers, so they are bounded."""


class Match(NamedTuple):
    """A subscription that wants an event, and in which name."""

    subscription: Subscription
    asked: str


class _Entry(NamedTuple):
    """Who wants events of one type, oldest first."""

    all: tuple[Match, ...]
    """Whatever the events say."""
    filtered: tuple[tuple[Match, Evaluator | None], ...]
    """The same with their filters; empty where nobody has one."""


_NOBODY = _Entry((), ())


class Matcher:
    """Entries per (project, type), built on first use, never changed, dropped with their project.

    *on_broken* is told of a subscription whose stored filter can't be read: it matches nothing.
    """

    def __init__(self, *, on_broken: Callable[[Subscription], None] = lambda _: None) -> None:
        self._on_broken = on_broken
        self._projects: dict[str, dict[SubscriptionId, Subscription]] = {}
        self._entries: dict[str, dict[str, _Entry]] = {}
        self._fences: dict[str, Fences] = {}
        self._trees: dict[SubscriptionId, tuple[str, Filter | None]] = {}

    def replace_all(self, subscriptions: Iterable[Subscription]) -> None:
        """Hold these and no others."""
        projects: dict[str, dict[SubscriptionId, Subscription]] = {}
        for subscription in subscriptions:
            projects.setdefault(subscription.project_id, {})[subscription.id] = subscription
        self._projects = projects
        self._entries = {}
        self._trees = {}

    def apply(self, changed: Iterable[Subscription], removed: Collection[Subscription]) -> None:
        """Take over *changed* and drop *removed*; takes effect between two events."""
        for subscription in removed:
            self._projects.get(subscription.project_id, {}).pop(subscription.id, None)
            self._entries.pop(subscription.project_id, None)
            self._trees.pop(subscription.id, None)
        for subscription in changed:
            project = self._projects.setdefault(subscription.project_id, {})
            project[subscription.id] = subscription
            self._entries.pop(subscription.project_id, None)

    def set_geofences(self, project_id: ProjectId, geofences: Sequence[Geofence]) -> None:
        """Swap the geofences of a project; takes effect between two events."""
        if geofences:
            self._fences[project_id] = Fences.of(geofences)
        else:
            self._fences.pop(project_id, None)
        self._entries.pop(project_id, None)

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, paused and disabled ones too, oldest first."""
        entries = self._entries.get(event.project_id)
        entry = entries.get(event.type) if entries is not None else None
        if entry is None:
            entry = self._build(event.project_id, event.type)
        if not entry.filtered:
            return entry.all
        body = event.body
        return [match for match, holds in entry.filtered if holds is None or holds(body)]

    def _build(self, project_id: str, type_: str) -> _Entry:
        project = self._projects.get(project_id)
        if not project:
            return _NOBODY
        fences = self._fences.get(project_id, NO_FENCES)
        found: list[tuple[Match, Evaluator | None]] = []
        broken = []
        for subscription in project.values():
            asked = asked_name(subscription.types, type_, subscription.profile)
            if asked is None:
                continue
            tree = self._tree(subscription)
            if tree is not None:
                found.append((Match(subscription, asked), evaluator(tree, fences)))
            elif subscription.filter is None:
                found.append((Match(subscription, asked), None))
            else:
                broken.append(subscription)
        matches = tuple(match for match, _ in found)
        has_filters = any(holds is not None for _, holds in found)
        entry = _Entry(matches, tuple(found) if has_filters else ())
        for subscription in broken:  # may change what is held here
            self._on_broken(subscription)
        entries = self._entries.setdefault(project_id, {})
        if len(entries) >= MAX_TYPES:
            entries.clear()
        entries[type_] = entry
        return entry

    def _tree(self, subscription: Subscription) -> Filter | None:
        """Return its filter, parsed once per stored version; None: it has none, or a broken one."""
        text = subscription.filter
        if text is None:
            return None
        known = self._trees.get(subscription.id)
        if known is None or known[0] != text:
            known = self._trees[subscription.id] = (text, stored(text))
        return known[1]
