"""The stored geofences of a project: one table, swapped whole when one of them changes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from services.kernel.event import Json
from services.kernel.geofence import Geofence
from services.match.geometry import Box, Circle, Polygon, Several, Shape
from services.match.grid import Grid


class Fence(NamedTuple):
    """A stored geofence."""

    id: str
    shape: Shape
    enabled: bool = True
    version: int = 1
    label: str = ""
    external_id: str | None = None
    exit_buffer_m: float | None = None


class Fences:
    """Never changed once made. A disabled fence is as one that is gone: nothing is in or out."""

    def __init__(self, fences: Iterable[Fence] = ()) -> None:
        enabled = [fence for fence in fences if fence.enabled]
        self._ids = [fence.id for fence in enabled]
        self._fences = {fence.id: fence for fence in enabled}
        self._grid = Grid([fence.shape for fence in enabled])

    @classmethod
    def of(cls, geofences: Iterable[Geofence]) -> "Fences":
        """Return the table of stored geofences, which have been checked."""
        return cls(
            Fence(
                each.id,
                shape(each.area),
                each.enabled,
                each.version,
                each.label,
                each.external_id,
                each.exit_buffer_m,
            )
            for each in geofences
        )

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._fences

    def fence(self, id_: str) -> Fence | None:
        """Return an enabled fence; None: it is disabled or gone."""
        return self._fences.get(id_)

    def shape(self, id_: str) -> Shape | None:
        """Return the shape of an enabled fence; None: it is disabled or gone."""
        fence = self._fences.get(id_)
        return None if fence is None else fence.shape

    def at(self, lat: float, lng: float) -> list[str]:
        """Return the ids of the enabled fences that a point is in."""
        ids = self._ids
        return [ids[n] for n in self._grid.at(lat, lng)]


NO_FENCES = Fences()


def shape(area: Json) -> Shape:
    """Return the shape of an area as `Geofence` keeps it."""
    circle = area.get("circle")
    if circle is not None:
        center = circle["center"]
        return Circle(center["lat"], center["lng"], circle["radius_m"])
    geometry = area["geometry"]
    if geometry["type"] == "MultiPolygon":
        return Several([_polygon(rings) for rings in geometry["coordinates"]])
    return _polygon(geometry["coordinates"])


def around(geofences: Iterable[Geofence]) -> Box | None:
    """Return where a project works, as far as its geofences tell."""
    boxes = [shape(geofence.area).box for geofence in geofences]
    if not boxes:
        return None
    return Box(
        min(box.west for box in boxes),
        min(box.south for box in boxes),
        max(box.east for box in boxes),
        max(box.north for box in boxes),
    )


def _polygon(rings: list[Any]) -> Polygon:
    return Polygon([tuple((position[0], position[1]) for position in ring) for ring in rings])
