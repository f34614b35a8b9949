"""A link that shows one customer their webhooks, in a page of somebody else's."""

import re
from datetime import datetime
from typing import NamedTuple

from services.kernel.ids import PortalLinkId, ProjectId
from services.kernel.value import value

_CHANNEL_KNEE, _CHANNEL_SLOPE = 0.04045, 12.92  # WCAG 2.2, relative luminance
LEAST_CONTRAST = 4.5
"""Of text on its ground, WCAG 2.2 AA."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")


class Look(NamedTuple):
    """How the pages behind a link are dressed."""

    accent: str | None = None
    """A colour, `#3451c6`."""
    logo_url: str | None = None


@value
class PortalLink:
    """A way in for whoever holds its token; the token itself is never kept."""

    id: PortalLinkId
    project_id: ProjectId
    subscriptions: tuple[str, ...] | None
    """What it shows; None: all of the project, later ones too."""
    scopes: tuple[str, ...]
    origins: tuple[str, ...]
    """Whose pages may embed it."""
    look: Look
    hash: bytes
    created_by: str
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    """To the minute."""


def is_colour(text: str) -> bool:
    """Tell whether *text* is a colour as links write them, `#3451c6`."""
    return _COLOUR.fullmatch(text) is not None


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG 2.2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(colour: str, other: str, share: float) -> str:
    """Return *colour* with a *share*, 0 to 1, of *other* in it."""
    channels = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in channels)


def readable(colour: str, *, on: str, towards: str) -> str:
    """Return *colour*, moved *towards* another until it can be read *on* a ground."""
    for percent in range(0, 101, 4):
        found = mixed(colour, towards, percent / 100)
        if contrast(found, on) >= LEAST_CONTRAST:
            return found
    return towards


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    if channel <= _CHANNEL_KNEE:
        return channel / _CHANNEL_SLOPE
    linear: float = ((channel + 0.055) / 1.055) ** 2.4
    return linear
