"""Places to go to, in the order in which people need them."""

from collections.abc import Sequence
from typing import NamedTuple

from services.control.access import Caller


class Place(NamedTuple):
    """An entry of the navigation."""

    path: str
    name: str
    scope: str = "read"
    """Without it the entry isn't shown; what the page shows the API decides."""
    also: str | None = None
    """Another path of pages that belong here."""

    def is_current(self, path: str) -> bool:
        """Tell whether a page is here or below."""
        among = [each for each in (self.path, self.also) if each is not None]
        return any(path == each or path.startswith(each + "/") for each in among)


PLACES = (
    Place("/webhooks", "Webhooks"),
    Place("/deliveries", "Deliveries", also="/resends"),
    Place("/failed", "Failed"),
    Place("/replays", "Replays"),
    Place("/events", "Events"),
    Place("/event-types", "Event types"),
    Place("/filters", "Filter lab"),
    Place("/test-bench", "Test bench", "manage"),
    Place("/map", "Map"),
    Place("/portal-links", "Portal links", "manage"),
    Place("/audit", "Audit"),
    Place("/lanes", "Lanes", "admin"),
    Place("/projects", "Projects and keys", "admin"),
)


FOR_LINKS = frozenset(
    {"/webhooks", "/deliveries", "/failed", "/replays", "/event-types", "/test-bench"}
)
FOR_WHOLE_PROJECTS = FOR_LINKS | {"/events", "/filters", "/audit"}
"""Behind a portal link there is less; what it asks for, the API refuses anyway."""


def navigation(caller: Caller) -> Sequence[Place]:
    """Return what *caller* is shown."""
    places = [place for place in PLACES if place.scope in caller.scopes]
    if caller.link is None:
        return places
    among = FOR_WHOLE_PROJECTS if caller.webhooks is None else FOR_LINKS
    return [place for place in places if place.path in among]
