"""Pictures of a tile server under a map: which of them, and where they are drawn; pure.

Tiles are of the Web Mercator projection: the corners of each are placed exactly, and what is between is
stretched, which on the small areas that maps show nobody sees.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from services.dashboard.maps import HEIGHT, WIDTH, Frame, Place

MOST = 24
"""Tiles of one map: the closest zoom that needs no more is taken."""
CLOSEST = 18
NORTH = 85.05
"""Where Web Mercator ends, degrees; and as far in the south."""


class Source(NamedTuple):
    """A tile server."""

    url: str
    """With `{z}`, `{x}` and `{y}`."""
    attribution: str = ""

    @property
    def origin(self) -> str:
        """What the Content-Security-Policy allows for it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


class Tile(NamedTuple):
    """A picture, and the part of the view box that it fills."""

    url: str
    x: float
    y: float
    width: float
    height: float


def tiles_of(frame: Frame | None, source: Source | None) -> list[Tile]:
    """Return the tiles under a map; none where no server is configured."""
    return [] if frame is None or source is None else list(_tiles(frame, source.url))


def _tiles(frame: Frame, url: str) -> Iterator[Tile]:
    zoom, columns, rows = next(
        found for found in _zooms(frame) if len(found[1]) * len(found[2]) <= MOST or not found[0]
    )
    side = 2**zoom
    for row in rows:
        for column in columns:
            x, y = frame.at(_corner(column, row, side))
            right, bottom = frame.at(_corner(column + 1, row + 1, side))
            named = {"{z}": zoom, "{x}": column % side, "{y}": row}
            address = url
            for name, value in named.items():
                address = address.replace(name, str(value))
            yield Tile(address, x, y, round(right - x, 1), round(bottom - y, 1))


def _zooms(frame: Frame) -> Iterator[tuple[int, range, range]]:
    """Yield each zoom, the closest first, with the columns and rows that cover the view box."""
    (north, west), (south, east) = frame.place(0, 0), frame.place(WIDTH, HEIGHT)
    for zoom in range(CLOSEST, -1, -1):
        side = 2**zoom
        columns = range(math.floor(_column(west) * side), math.floor(_column(east) * side) + 1)
        top, bottom = (
            min(max(math.floor(_row(lat) * side), 0), side - 1) for lat in (north, south)
        )
        yield zoom, columns, range(top, bottom + 1)


def _column(lng: float) -> float:
    """Return how far east a longitude is: 0 to 1 around the earth."""
    return (lng + 180.0) / 360.0


def _row(lat: float) -> float:
    """Return how far south a latitude is, 0 to 1, in Web Mercator."""
    held = math.radians(min(max(lat, -NORTH), NORTH))
    return (1.0 - math.asinh(math.tan(held)) / math.pi) / 2.0


def _corner(column: int, row: int, side: int) -> Place:
    """Return the north-western corner of a tile."""
    lat = math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / side))))
    return lat, column / side * 360.0 - 180.0
