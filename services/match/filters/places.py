"""What many filters say about one position: which areas it must be in or out of."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from services.match.fences import NO_FENCES, Fences
from services.match.filters.holds import position_test, positions
from services.match.filters.lookups import mask
from services.match.filters.tree import Fenced, GeoMatcher, Leaf, Outside, Within
from services.match.geometry import Shape
from services.match.grid import Grid


class Held:
    """The fences of a project as of now: an edit swaps them, and no table is made anew."""

    __slots__ = ("fences",)

    def __init__(self, fences: Fences = NO_FENCES) -> None:
        self.fences = fences


class Places:
    """The geo leaves at one path, of all rows. Each area is tried once, whoever names it."""

    def __init__(self, leaves: Mapping[int, Leaf], every: int, held: Held) -> None:
        self._held = held
        self.said = mask(leaves)
        self.missing = every & ~self.said
        self.strings: dict[str, int] = {}
        self.default: int | None = self.missing  # a string is no position
        self.numbers: dict[float, int] = {}
        shapes: dict[Shape, int] = {}
        self._within: dict[int | str, int] = defaultdict(int)
        self._outside: dict[int | str, int] = defaultdict(int)
        self._inline_outside = 0
        """Rows that are outside of something that can't vanish."""
        alone: dict[int, list[GeoMatcher]] = {}
        for row, leaf in leaves.items():
            matchers = [each for each in leaf.matchers if isinstance(each, Within | Outside)]
            if sum(isinstance(each, Outside) for each in matchers) > 1:
                alone[row] = matchers  # outside of one of two: clearing bits would be wrong
                continue
            for each in matchers:
                self._add(each, 1 << row, shapes)
        self._alone = alone
        self._grid = Grid(list(shapes))
        self._known: Fences | None = None
        self._may_be_outside = 0
        self._tests: list[tuple[int, list[Any]]] = []

    def reader(self, _: str) -> int:
        """Return the rows that a string satisfies: those that ask for no place."""
        return self.missing

    def number(self, _: float) -> int:
        """Return the rows that a number satisfies: those that ask for no place."""
        return self.missing

    def sat(self, value: Any) -> int:  # noqa: ANN401 - JSON
        """Return the rows that one of the readable positions in *value* satisfies."""
        found = self.missing
        for lat, lng in positions(value):
            found |= self._at(lat, lng)
        return found

    def _at(self, lat: float, lng: float) -> int:
        fences = self._held.fences
        if fences is not self._known:
            self._look_at(fences)
        within, outside = 0, self._may_be_outside
        inside: list[int | str] = [*self._grid.at(lat, lng), *fences.at(lat, lng)]
        for key in inside:
            within |= self._within.get(key, 0)
            outside &= ~self._outside.get(key, 0)
        for bit, tests in self._tests:
            if any(holds(lat, lng) for holds in tests):
                within |= bit
        return within | outside

    def _add(self, matcher: GeoMatcher, bit: int, shapes: dict[Shape, int]) -> None:
        into = self._within if isinstance(matcher, Within) else self._outside
        if isinstance(matcher.area, Fenced):
            for id_ in matcher.area.ids:
                into[id_] |= bit
            return
        into[shapes.setdefault(matcher.area, len(shapes))] |= bit
        if isinstance(matcher, Outside):
            self._inline_outside |= bit

    def _look_at(self, fences: Fences) -> None:
        """Work out what depends on which fences there are: of those gone nothing is outside."""
        self._may_be_outside = self._inline_outside
        for key, bits in self._outside.items():
            if isinstance(key, str) and key in fences:
                self._may_be_outside |= bits
        self._tests = [
            (1 << row, [position_test(each, fences) for each in matchers])
            for row, matchers in self._alone.items()
        ]
        self._known = fences
