"""Vehicles as a map draws them: what would cover each other as one, names where there is room; pure.

The same picture is drawn on wide screens and, at a third of the size with larger letters, on narrow ones:
so a name may have room on one and not on the other. A name without room is shown while its spot is
pointed at or focused, and all of them stand in the list below the map.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from services.dashboard.maps import HEIGHT, WIDTH

NEAR = 34.0
"""Closer than this, in units of the view box, two are drawn as one."""
NAMED = 40
"""Of more spots, none has a name that stands: a map full of names says nothing."""

Point: TypeAlias = tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Letters(NamedTuple):
    """How large things are drawn, as in `style.css`."""

    dot: float
    """From the middle of a spot to its edge."""
    gap: float
    """From the middle of a spot to its name."""
    wide: float
    """One letter."""
    high: float


ON_WIDE, ON_NARROW = Letters(13, 15, 8.5, 16), Letters(20, 25, 22, 38)


class Spot(NamedTuple):
    """One or several vehicles at about the same place."""

    at: Point
    members: Sequence[int]
    """Which of the points that were given."""
    fits: str
    """Where its name stands: `always`, `wide` screens only, or `never`."""
    on_left: bool
    """Whether its name is on the left of it."""


def spots(points: Sequence[Point], *, letters: int) -> list[Spot]:
    """Return *points* as they are drawn; the name of each has so many *letters*."""
    groups = _near(points)
    middles = [_middle([points[n] for n in group]) for group in groups]
    taken = {size: [_dot(at, size) for at in middles] for size in (ON_WIDE, ON_NARROW)}
    found = []
    for at, group in zip(middles, groups, strict=True):
        fits, on_left = "never", at[0] > WIDTH / 2
        if len(group) == 1 and len(groups) <= NAMED:
            fits, on_left = _placed(at, letters, taken)
        found.append(Spot(at, group, fits, on_left))
    return found


def _near(points: Sequence[Point]) -> list[list[int]]:
    """Return which points are drawn together: each with the first that it is near to."""
    groups: list[list[int]] = []
    by_cell: dict[tuple[int, int], list[int]] = {}  # the groups that begin in a square of NEAR
    for n, (x, y) in enumerate(points):
        column, row = int(x // NEAR), int(y // NEAR)
        around = ((column + dx, row + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1))
        begun = (group for cell in around for group in by_cell.get(cell, ()))
        close = next((g for g in begun if math.dist(points[groups[g][0]], (x, y)) < NEAR), None)
        if close is None:
            by_cell.setdefault((column, row), []).append(len(groups))
            groups.append([n])
        else:
            groups[close].append(n)
    return groups


def _placed(at: Point, letters: int, taken: dict[Letters, list[Box]]) -> tuple[str, bool]:
    """Return where a name fits, and on which side; its place is *taken* from then on."""
    for on_left in (False, True):
        box = name_box(at, letters, ON_WIDE, on_left=on_left)
        if not _is_free(box, taken[ON_WIDE]):
            continue
        taken[ON_WIDE].append(box)
        larger = name_box(at, letters, ON_NARROW, on_left=on_left)
        if not _is_free(larger, taken[ON_NARROW]):
            return "wide", on_left
        taken[ON_NARROW].append(larger)
        return "always", on_left
    return "never", at[0] > WIDTH / 2


def _is_free(box: Box, taken: Iterable[Box]) -> bool:
    left, top, right, bottom = box
    if left < 0 or top < 0 or right > WIDTH or bottom > HEIGHT:
        return False
    return all(right <= x1 or x2 <= left or bottom <= y1 or y2 <= top for x1, y1, x2, y2 in taken)


def name_box(at: Point, letters: int, size: Letters, *, on_left: bool) -> Box:
    x, y = at
    near, far = size.gap, size.gap + letters * size.wide
    left, right = (x - far, x - near) if on_left else (x + near, x + far)
    return left, y - size.high / 2, right, y + size.high / 2


def _dot(at: Point, size: Letters) -> Box:
    x, y = at
    return x - size.dot, y - size.dot, x + size.dot, y + size.dot


def _middle(points: Sequence[Point]) -> Point:
    xs, ys = zip(*points, strict=True)
    return round(sum(xs) / len(points), 1), round(sum(ys) / len(points), 1)
