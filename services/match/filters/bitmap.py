"""Many filters in one walk over an event: the bits of the rows that still may hold, ANDed down.

Each filter is expanded to rows, conjunctions; row r is bit r. The rows are merged into one tree in
the shape of events; at each path a table gives the rows that a value satisfies. A row that says
nothing of a field is satisfied by whatever is there. What is said below an array binds to one of
its elements, since the whole tree below is walked with each.

Built once, never changed. It says what `closures` says.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from services.kernel.event import Json
from services.match.filters.holds import MISSING, elements
from services.match.filters.places import Held, Places
from services.match.filters.tables import Reader, Table
from services.match.filters.tree import Leaf, Row

T = TypeVar("T")

SLICE = 200
"""Rows that are merged in one step of a build."""
FEW_BITS = 32


class Field(NamedTuple):
    """What leaves say of one field."""

    name: str
    strings: dict[str, int]
    default: int | None
    unknown: Reader
    numbers: dict[float, int]
    table: "Table | Places"


class Node(NamedTuple):
    """What is said of one object; what most rows speak of comes first: it leaves the fewest."""

    fields: tuple[Field, ...]
    children: "tuple[tuple[str, Node], ...]"
    """Fields of which something is said below."""
    absent: int
    """The rows that an object without fields satisfies."""
    said: int
    """The rows that say anything here or below; to all others it is all the same."""


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
        return self.select(range(len(self._owners)), event, alive)

    def select(self, wanted: Sequence[T], event: Json, alive: int) -> list[T]:
        """Return those of *wanted*, given by number, whose filters hold."""
        rows = walk(self._root, event, alive)
        if not rows:
            return []
        if self._is_plain:
            return among(wanted, rows)
        found, last = [], -1
        for owner in among(self._owners, rows):
            if owner != last:  # rows of one filter are neighbours
                found.append(wanted[owner])
                last = owner
        return found

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
    for name, strings, default, unknown, numbers, table in node.fields:
        value = obj.get(name, MISSING)
        kind = value.__class__
        if kind is str:  # the common cases, without a call of ours
            found = strings.get(value, default)
            rows &= found if found is not None else unknown(value)
        elif kind is int or kind is float:  # never bool: True would find what is known of 1
            found = numbers.get(value)
            rows &= found if found is not None else table.number(value)
        else:
            rows &= table.sat(value)
        if not rows:
            return 0
    for name, child in node.children:
        value = obj.get(name, MISSING)
        kind = value.__class__
        if kind is dict:
            rows = walk(child, value, rows)
        elif kind is list:
            rows = _any_of(child, value, rows)
        else:
            rows &= child.absent
        if not rows:
            return 0
    return rows


def among(wanted: Sequence[T], number: int) -> list[T]:
    """Return those of *wanted* whose bits are set in *number*, in order."""
    found: list[T] = []
    add = found.append
    if number.bit_count() <= FEW_BITS:
        while number:  # the highest first: what is left gets shorter
            highest = number.bit_length() - 1
            add(wanted[highest])
            number ^= 1 << highest
        found.reverse()
        return found
    text = bin(number)[:1:-1]
    at = text.find("1")
    while at >= 0:
        add(wanted[at])
        at = text.find("1", at + 1)
    return found


def _any_of(node: Node, values: list[Any], rows: int) -> int:
    """Return those of *rows* that one of the elements satisfies: each by one, for all it says."""
    wanting = rows & node.said  # the others are satisfied by whatever is there
    for value in elements(values):
        if not wanting:
            break
        found = walk(node, value, wanting) if value.__class__ is dict else wanting & node.absent
        wanting ^= found
    return rows ^ wanting


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
        children: list[tuple[int, tuple[str, Node]]] = []
        absent, said = every, 0
        for name, leaves in self.scalars.items():
            table = yield from Table.building(leaves, every)
            fields.append((len(leaves), _field(name, table)))
            absent &= table.missing
            said |= table.said
            yield
        for name, leaves in self.places.items():
            places = Places(leaves, every, held)
            fields.append((len(leaves), _field(name, places)))
            absent &= places.missing
            said |= places.said
            yield
        for name, draft in self.below.items():
            child = yield from draft.finish(every, held)
            children.append((draft.count, (name, child)))
            absent &= child.absent
            said |= child.said
        return Node(_busiest_first(fields), _busiest_first(children), absent, said)


def _field(name: str, table: Table | Places) -> Field:
    return Field(name, table.strings, table.default, table.reader, table.numbers, table)


def _busiest_first(counted: list[tuple[int, T]]) -> tuple[T, ...]:
    return tuple(each for _, each in sorted(counted, key=lambda pair: -pair[0]))
