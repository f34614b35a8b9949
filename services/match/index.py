"""All subscriptions by project and type. What an event costs doesn't depend on how many there are."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from services.kernel.event import Event
from services.kernel.ids import SubscriptionId
from services.kernel.subscription import Subscription
from services.match.types import asked_name

MAX_TYPES = 1_024
"""Entries of one project: names of types come from producers, so they are bounded."""


class Match(NamedTuple):
    """A subscription that wants an event, and in which name."""

    subscription: Subscription
    asked: str


class Matcher:
    """Entries per (project, type), built on first use, never changed, dropped with their project."""

    def __init__(self) -> None:
        self._projects: dict[str, dict[SubscriptionId, Subscription]] = {}
        self._entries: dict[str, dict[str, tuple[Match, ...]]] = {}

    def replace_all(self, subscriptions: Iterable[Subscription]) -> None:
        """Hold these and no others."""
        projects: dict[str, dict[SubscriptionId, Subscription]] = {}
        for subscription in subscriptions:
            projects.setdefault(subscription.project_id, {})[subscription.id] = subscription
        self._projects = projects
        self._entries = {}

    def apply(self, changed: Iterable[Subscription], removed: Collection[Subscription]) -> None:
        """Take over *changed* and drop *removed*; takes effect between two events."""
        for subscription in removed:
            self._projects.get(subscription.project_id, {}).pop(subscription.id, None)
            self._entries.pop(subscription.project_id, None)
        for subscription in changed:
            project = self._projects.setdefault(subscription.project_id, {})
            project[subscription.id] = subscription
            self._entries.pop(subscription.project_id, None)

    def match(self, event: Event) -> Sequence[Match]:
        """Return who wants *event*, paused and disabled ones too, oldest first."""
        entries = self._entries.get(event.project_id)
        if entries is not None:
            entry = entries.get(event.type)
            if entry is not None:
                return entry
        return self._build(event.project_id, event.type)

    def _build(self, project_id: str, type_: str) -> Sequence[Match]:
        project = self._projects.get(project_id)
        if not project:
            return ()
        entry = tuple(
            Match(subscription, asked)
            for subscription in project.values()
            if (asked := asked_name(subscription.types, type_, subscription.profile)) is not None
        )
        entries = self._entries.setdefault(project_id, {})
        if len(entries) >= MAX_TYPES:
            entries.clear()
        entries[type_] = entry
        return entry
