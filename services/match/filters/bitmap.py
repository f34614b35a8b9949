"""Many filters in one walk over an event: the bits of the rows that still may hold, ANDed down.

Each filter is expanded to rows, conjunctions; row r is bit r. The rows are merged into one tree in
the shape of events; at each path a table gives the rows that a value satisfies. A row that says
nothing of a field is satisfied by whatever is there. What is said below an array binds to one of
its elements, since the whole tree below is walked with each.

Built once, never changed. It says what `closures` says.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias

from services.kernel.event import Json
from services.match.filters.holds import MISSING, elements
from services.match.filters.places import Held, Places
from services.match.filters.tables import Table
from services.match.filters.tree import Leaf, Row

SLICE = 200
"""Rows that are merged in one step of a build."""
FEW_BITS = 16


class Field(NamedTuple):
    """What is said of one field: by leaves, then *child* is None, or of what is below."""

    name: str
    strings: dict[str, int]
    default: int | None
    table: "Table | Places | None"
    child: "Node | None"


class Node(NamedTuple):
    """What is said of one object."""

    fields: tuple[Field, ...]
    """Those that most rows speak of come first: they leave the fewest."""
    absent: int
    """The rows that an object without fields satisfies."""


Steps: TypeAlias = Generator[None, None, "Bitmap"]


class Bitmap:
    """Filters by number, as they were given."""

    def __init__(self, root: Node, owners: Sequence[int]) -> None:
        self._root = root
        self._owners = owners
        self._is_plain = len(set(owners)) == len(owners)  # a row each: no filter has branches
        self.every = (1 << len(owners)) - 1

    def match(self, event: Json, alive: int) -> list[int]:
        """Return the numbers of the filters that hold, in order; of the rows in *alive*."""
        rows = walk(self._root, event, alive)
        if not rows:
            return []
        if self._is_plain:
            return bits(rows)
        owners = self._owners
        return list(dict.fromkeys([owners[row] for row in bits(rows)]))

    def rows_of(self, number: int) -> int:
        """Return the rows of one filter: neighbours."""
        first = bisect_left(self._owners, number)
        return (1 << bisect_right(self._owners, number)) - (1 << first)


def build(filters: Sequence[Sequence[Row]], held: Held) -> Bitmap:
    """Return the tree of *filters*, each given by its rows."""
    steps = building(filters, held)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            bitmap: Bitmap = done.value
            return bitmap


def building(filters: Sequence[Sequence[Row]], held: Held) -> Steps:
    """Build in steps of a few milliseconds; what is returned is complete."""
    root = _Draft()
    owners: list[int] = []
    for number, rows in enumerate(filters):
        for row in rows:
            root.add(row, len(owners))
            owners.append(number)
            if len(owners) % SLICE == 0:
                yield
    node = yield from root.finish((1 << len(owners)) - 1, held)
    return Bitmap(node, owners)


def walk(node: Node, obj: Json, rows: int) -> int:
    """Return those of *rows* that *obj* satisfies."""
    for name, strings, default, table, child in node.fields:
        value = obj.get(name, MISSING)
        if table is not None:
            if value.__class__ is str:  # the common case, without a call of ours
                found = strings.get(value, default)
                rows &= found if found is not None else table.string(value)
            else:
                rows &= table.sat(value)
        elif child is not None:
            if value.__class__ is dict:
                rows = walk(child, value, rows)
            elif value.__class__ is list:
                rows = _any_of(child, value, rows)
            else:
                rows &= child.absent
        if not rows:
            return 0
    return rows


def bits(number: int) -> list[int]:
    """Return which bits are set, lowest first."""
    found = []
    if number.bit_count() <= FEW_BITS:
        while number:
            lowest = number & -number
            found.append(lowest.bit_length() - 1)
            number ^= lowest
        return found
    text = bin(number)[:1:-1]
    at = text.find("1")
    while at >= 0:
        found.append(at)
        at = text.find("1", at + 1)
    return found


def _any_of(node: Node, values: list[Any], rows: int) -> int:
    """Return those of *rows* that one of the elements satisfies: each by one, for all it says."""
    found = 0
    for value in elements(values):
        found |= walk(node, value, rows) if value.__class__ is dict else rows & node.absent
        if found == rows:
            break
    return found


class _Draft:
    """A node while it is built."""

    def __init__(self) -> None:
        self.scalars: dict[str, dict[int, Leaf]] = {}
        self.places: dict[str, dict[int, Leaf]] = {}
        self.below: dict[str, _Draft] = {}
        self.count = 0

    def add(self, row: Row, number: int) -> None:
        """Take in one row."""
        self.count += 1
        for name, below in row.items():
            if not isinstance(below, Leaf):
                draft = self.below.get(name)
                if draft is None:
                    draft = self.below[name] = _Draft()
                draft.add(below, number)
            elif below.is_geo:
                self.places.setdefault(name, {})[number] = below
            else:
                self.scalars.setdefault(name, {})[number] = below

    def finish(self, every: int, held: Held) -> Generator[None, None, Node]:
        """Make the tables, one a step."""
        fields: list[tuple[int, Field]] = []
        absent = every
        for name, leaves in self.scalars.items():
            table = Table(leaves, every)
            fields.append((len(leaves), Field(name, table.strings, table.default, table, None)))
            absent &= table.missing
            yield
        for name, leaves in self.places.items():
            places = Places(leaves, every, held)
            fields.append((len(leaves), Field(name, {}, places.default, places, None)))
            absent &= places.missing
            yield
        for name, draft in self.below.items():
            child = yield from draft.finish(every, held)
            fields.append((draft.count, Field(name, {}, None, None, child)))
            absent &= child.absent
        fields.sort(key=lambda pair: -pair[0])
        return Node(tuple(field for _, field in fields), absent)
