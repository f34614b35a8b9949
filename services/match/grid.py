"""Which of many areas is a point in? One look-up in a grid of cells, then the few left to test.

A cell knows the areas that cover it and those whose border goes through it. Areas of many cells go
to a coarser grid, the largest to a list.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from math import ceil, floor, radians
from typing import NamedTuple

from services.match.geometry import RADIUS_M, Box, Circle, Polygon, Shape, haversine_m

FINE, COARSE = 0.01, 0.5
"""Degrees of a cell's side."""
MOST_CELLS = 400
"""Of one area in one grid."""
MARGIN = 1e-9
"""Degrees by which an edge is thought to be wider than it is."""
POLAR = 80.0
"""Beyond it a parallel within a cell is too bent to judge a cell by its corners."""
_ROW = 1 << 20


class _Cell(NamedTuple):
    inside: tuple[int, ...]
    to_test: tuple[int, ...]


_EMPTY = _Cell((), ())


class Grid:
    """Areas by number, as they were given."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = shapes
        self._fine: dict[int, _Cell] = {}
        self._coarse: dict[int, _Cell] = {}
        large = []
        for number, shape in enumerate(shapes):
            for size, cells in ((FINE, self._fine), (COARSE, self._coarse)):
                covered = _covered(shape, size)
                if covered is not None:
                    for key, is_inside in covered:
                        _add(cells, key, number, is_inside=is_inside)
                    break
            else:
                large.append(number)
        self._large = tuple(large)

    def at(self, lat: float, lng: float) -> list[int]:
        """Return the numbers of the areas that a point is in, each tested once."""
        found: list[int] = []
        shapes = self._shapes
        for size, cells in ((FINE, self._fine), (COARSE, self._coarse)):
            if cells:
                cell = cells.get(floor(lng / size) * _ROW + floor(lat / size))
                if cell is not None:
                    found += cell.inside
                    found += [n for n in cell.to_test if shapes[n].contains(lat, lng)]
        if self._large:
            found += [n for n in self._large if shapes[n].contains(lat, lng)]
        return found


def _add(cells: dict[int, _Cell], key: int, number: int, *, is_inside: bool) -> None:
    inside, to_test = cells.get(key, _EMPTY)
    if is_inside:
        cells[key] = _Cell((*inside, number), to_test)
    else:
        cells[key] = _Cell(inside, (*to_test, number))


def _covered(shape: Shape, size: float) -> list[tuple[int, bool]] | None:
    """Return cells with whether the area covers them; None: there are too many."""
    ranges = [_cells(box, size) for box in _unwrapped(shape.box)]
    if sum(len(columns) * len(rows) for columns, rows in ranges) > MOST_CELLS:
        return None
    crossed = set(_crossed(shape, size)) if isinstance(shape, Polygon) else None
    found = []
    for columns, rows in ranges:
        for column in columns:
            for row in rows:
                key = column * _ROW + row
                if isinstance(shape, Circle):
                    found.append((key, _circle_covers(shape, column, row, size)))
                elif crossed is None or key in crossed:
                    found.append((key, False))
                elif shape.contains((row + 0.5) * size, (column + 0.5) * size):
                    found.append((key, True))
    return found


def _unwrapped(box: Box) -> Iterable[Box]:
    if box.west <= box.east:
        return [box]
    return [box._replace(east=180.0), box._replace(west=-180.0)]


def _cells(box: Box, size: float) -> tuple[range, range]:
    west, south, east, north = box
    return (
        range(floor((west - MARGIN) / size), floor((east + MARGIN) / size) + 1),
        range(floor((south - MARGIN) / size), floor((north + MARGIN) / size) + 1),
    )


def _circle_covers(circle: Circle, column: int, row: int, size: float) -> bool:
    """Tell whether a cell is surely inside: by its corners, with some room."""
    room = circle.radius_m - radians(size) * RADIUS_M / 100
    return all(
        abs(lat * size) < POLAR
        and haversine_m(circle.lat, circle.lng, lat * size, lng * size) < room
        for lat in (row, row + 1)
        for lng in (column, column + 1)
    )


def _crossed(polygon: Polygon, size: float) -> Iterator[int]:
    """Yield the cells that an edge goes through: for each row of cells, from where to where."""
    for ring in polygon.rings:
        for (ax, ay), (bx, by) in itertools.pairwise(ring):
            low, high = min(ay, by), max(ay, by)
            slope = (bx - ax) / (by - ay) if ay != by else 0.0
            for row in range(floor((low - MARGIN) / size), ceil((high + MARGIN) / size)):
                if ay == by:
                    ends = (ax, bx)
                else:
                    bottom = min(max(low, row * size), high)
                    top = max(min(high, (row + 1) * size), low)
                    ends = (ax + slope * (bottom - ay), ax + slope * (top - ay))
                west, east = min(ends) - MARGIN, max(ends) + MARGIN
                for column in range(floor(west / size), floor(east / size) + 1):
                    yield column * _ROW + row
