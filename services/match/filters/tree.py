"""A filter, understood: what the parser makes, both evaluators read and the normal form is of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from services.match.geometry import Circle, Polygon


@dataclass(frozen=True, slots=True)
class Text:
    """A string."""

    value: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number by its exact value: 1 is 1.0; never `true`."""

    value: float


@dataclass(frozen=True, slots=True)
class Constant:
    """`true`, `false` or `null`."""

    value: bool | None


@dataclass(frozen=True, slots=True)
class Exists:
    """Any scalar at all, or none."""

    expected: bool


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from a lower to an upper bound; infinite where there is none."""

    low: float
    low_included: bool
    high: float
    high_included: bool


@dataclass(frozen=True, slots=True)
class Prefix:
    """Strings that begin so; *folded*: whatever the case."""

    text: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Suffix:
    """Strings that end so; *folded*: whatever the case."""

    text: str
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Folded:
    """A string, whatever its case; kept casefolded where `text` is compared."""

    text: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Strings with these parts, and anything in between; of one part: exactly that."""

    parts: tuple[str, ...]


StringMatcher: TypeAlias = Text | Prefix | Suffix | Folded | Wildcard


@dataclass(frozen=True, slots=True)
class Other:
    """Any scalar for which none of these holds, of whatever kind: `anything-but`."""

    than: tuple[StringMatcher | Number, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """Stored geofences of the project, by id: their union."""

    ids: tuple[str, ...]


Area: TypeAlias = Circle | Polygon | Fenced


@dataclass(frozen=True, slots=True)
class Within:
    """A readable position inside an area."""

    area: Area


@dataclass(frozen=True, slots=True)
class Outside:
    """A readable position that isn't inside an area."""

    area: Area


ScalarMatcher: TypeAlias = StringMatcher | Number | Constant | Exists | Range | Other
GeoMatcher: TypeAlias = Within | Outside
Matcher: TypeAlias = ScalarMatcher | GeoMatcher


_GEO: frozenset[object] = frozenset({Within, Outside})


class Leaf(NamedTuple):
    """What one field is compared with: one of the matchers suffices."""

    pointer: str
    """RFC 6901, of the array in what was written."""
    path: tuple[str, ...]
    matchers: tuple[Matcher, ...]

    @property
    def is_geo(self) -> bool:
        """Whether it asks for a place; then all of its matchers do."""
        return self.matchers[0].__class__ in _GEO

    @property
    def dotted(self) -> str:
        """The path for people."""
        return ".".join(self.path)


class Pattern(NamedTuple):
    """An object of a filter: all fields must hold, and one of the branches, if there are any."""

    fields: "tuple[tuple[str, Leaf | Pattern], ...]"
    either: "tuple[Pattern, ...]" = ()
    """The branches of `$or`."""


Row: TypeAlias = "Mapping[str, Leaf | Row]"
"""One conjunction: what must hold of one object. A filter holds if one of its rows does."""


def rows(pattern: Pattern) -> list[Row]:
    """Expand `$or`: what is said of a field in and outside of it is merged into one tree.

    So that all that is said below an array binds to the same element. The parser has made sure
    that no path is said twice in a row, and that there are few rows.
    """
    found: list[Row] = [{}]
    for name, below in pattern.fields:
        inner = [below] if isinstance(below, Leaf) else rows(below)
        found = [merged(row, {name: each}) for row in found for each in inner]
    if pattern.either:
        branches = [row for branch in pattern.either for row in rows(branch)]
        found = [merged(row, branch) for row in found for branch in branches]
    return found


def count_rows(pattern: Pattern) -> int:
    """Return how many rows there would be, without making them."""
    count = 1
    for _, below in pattern.fields:
        if isinstance(below, Pattern):
            count *= count_rows(below)
    if pattern.either:
        count *= sum(map(count_rows, pattern.either))
    return count


def merged(one: Row, other: Row) -> Row:
    """Return what both say; neither is changed."""
    found = dict(one)
    for name, below in other.items():
        there = found.get(name)
        if isinstance(there, Mapping) and isinstance(below, Mapping):
            found[name] = merged(there, below)
        else:
            found[name] = below
    return found


def leaves(pattern: Pattern) -> Iterator[Leaf]:
    """Yield all leaves, in the order they were written."""
    for _, below in pattern.fields:
        if isinstance(below, Leaf):
            yield below
        else:
            yield from leaves(below)
    for branch in pattern.either:
        yield from leaves(branch)


def row_leaves(row: Row) -> Iterator[Leaf]:
    """Yield the leaves of one row."""
    for below in row.values():
        if isinstance(below, Leaf):
            yield below
        else:
            yield from row_leaves(below)
