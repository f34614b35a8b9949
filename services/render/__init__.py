"""What a receiver reads: one body per event, profile, requested type name and `expand`. Pure.

    profiles   the six shapes of a body
    names      older field names, for the profiles of older clients
    expand     plans go out without their routes and routes without their stops, unless asked for

Whatever differs between attempts or subscriptions is in headers, never in the body, so a body is
rendered once however many subscriptions share it.
"""

from services.kernel.event import Event
from services.kernel.subscription import Profile
from services.render.profiles import Rendered, render

__all__ = ["Rendered", "Renderings", "render"]


class Renderings:
    """The bodies of one event, each rendered once."""

    def __init__(self, event: Event, *, max_bytes: int) -> None:
        self._event = event
        self._max_bytes = max_bytes
        self._rendered: dict[tuple[Profile, str, tuple[str, ...]], Rendered] = {}

    def get(self, *, profile: Profile, asked: str, expand: tuple[str, ...]) -> Rendered:
        """Return the body, rendering it on first use."""
        key = (profile, asked, expand)
        found = self._rendered.get(key)
        if found is None:
            found = self._rendered[key] = render(
                self._event, profile=profile, asked=asked, expand=expand, max_bytes=self._max_bytes
            )
        return found
