"""Places on earth become the geometry of an SVG; tiles below it where some are configured; pure.

Small areas alone: longitudes are shortened by the cosine of the middle latitude, which is right within
a per cent over a few hundred kilometres.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

WIDTH, HEIGHT, MARGIN = 1000.0, 600.0, 40.0
DEGREE_M = 111_320.0
LEAST_DEGREES = 0.004
"""Of what is shown, some 400 m: a single vehicle isn't drawn at the scale of its wheels."""
SCALES = (1, 2, 5)
BAR = 160.0
"""The longest that the bar of the scale may be."""
ABOVE = 12.0
"""From the upper edge of an area to its name."""
CORNERS = 48
"""Of a circle, as a ring."""

Place: TypeAlias = tuple[float, float]
"""Latitude and longitude, degrees."""


class Bar(NamedTuple):
    """How long a round distance is on the map."""

    width: float
    metres: float


class Frame:
    """A part of the earth that holds all of some places, as large as the view box allows."""

    def __init__(self, places: Iterable[Place]) -> None:
        known = list(places)
        lats, lngs = [lat for lat, _ in known], [lng for _, lng in known]
        self._lat = (min(lats) + max(lats)) / 2
        self._lng = (min(lngs) + max(lngs)) / 2
        self._shorter = max(math.cos(math.radians(self._lat)), 0.01)
        wide = max((max(lngs) - min(lngs)) * self._shorter, LEAST_DEGREES)
        high = max(max(lats) - min(lats), LEAST_DEGREES)
        self._scale = min((WIDTH - 2 * MARGIN) / wide, (HEIGHT - 2 * MARGIN) / high)

    def at(self, place: Place) -> tuple[float, float]:
        """Return where a place is drawn."""
        lat, lng = place
        x = WIDTH / 2 + (lng - self._lng) * self._shorter * self._scale
        return round(x, 1), round(HEIGHT / 2 - (lat - self._lat) * self._scale, 1)

    def place(self, x: float, y: float) -> Place:
        """Return what is drawn at a point."""
        lng = self._lng + (x - WIDTH / 2) / (self._shorter * self._scale)
        return self._lat - (y - HEIGHT / 2) / self._scale, lng

    def line(self, places: Sequence[Place]) -> str:
        """Return the path through *places*."""
        drawn = [f"{x} {y}" for x, y in map(self.at, places)]
        return "M" + "L".join(drawn) if drawn else ""

    def rings(self, rings: Sequence[Sequence[Place]]) -> str:
        """Return the path of an area; holes are rings too."""
        return "".join(self.line(ring) + "Z" for ring in rings if ring)

    def above(self, rings: Sequence[Sequence[Place]]) -> tuple[float, float]:
        """Return where the name of an area stands: above its middle."""
        xs, ys = zip(*(self.at(place) for ring in rings for place in ring), strict=True)
        return round((min(xs) + max(xs)) / 2, 1), round(min(ys) - ABOVE, 1)

    @property
    def bar(self) -> Bar:
        """Return the longest round distance that fits the bar."""
        per_metre = self._scale / DEGREE_M
        most = BAR / per_metre
        unit = 10.0 ** math.floor(math.log10(most))
        metres = max(step * unit for step in SCALES if step * unit <= most)
        return Bar(round(metres * per_metre, 1), metres)


def rings_of(geofence: Mapping[str, Any]) -> list[list[Place]]:
    """Return the rings of a geofence as the API shows it: GeoJSON, or a circle."""
    if geofence["circle"] is not None:
        return [_circle(geofence["circle"])]
    geometry = geofence["geometry"]
    coordinates = geometry["coordinates"]
    polygons = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
    return [[(lat, lng) for lng, lat, *_ in ring] for polygon in polygons for ring in polygon]


def _circle(circle: Mapping[str, Any]) -> list[Place]:
    lat, lng = circle["center"]["lat"], circle["center"]["lng"]
    high = circle["radius_m"] / DEGREE_M
    wide = high / max(math.cos(math.radians(lat)), 0.01)
    turns = (2 * math.pi * n / CORNERS for n in range(CORNERS))
    return [(lat + high * math.sin(turn), lng + wide * math.cos(turn)) for turn in turns]
