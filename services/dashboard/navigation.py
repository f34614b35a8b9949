"""Places to go to, in the order in which people need them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """An entry of the navigation."""

    path: str
    name: str
    scope: str = "read"
    """Without it the entry isn't shown; what the page shows the API decides."""

    def is_current(self, path: str) -> bool:
        """Tell whether a page is here or below."""
        return path == self.path or path.startswith(self.path + "/")


PLACES = (
    Place("/webhooks", "Webhooks"),
    Place("/deliveries", "Deliveries"),
    Place("/failed", "Failed"),
    Place("/replays", "Replays"),
    Place("/events", "Events"),
    Place("/event-types", "Event types"),
)


def navigation(scopes: Collection[str]) -> Sequence[Place]:
    """Return what somebody with *scopes* is shown."""
    return [place for place in PLACES if place.scope in scopes]
