"""The fields that events have, by type: what the schemas say of a path, with arrays transparent.

An object that declares properties is closed for this check, whatever its `additionalProperties`;
one that declares none is the customer's own, and exempt with everything below it.
"""

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from services import catalogue

DEEPEST = 8
"""Of the paths that are suggested."""
NAMESAKES = 20
_STRUCTURE = frozenset(
    {"$ref", "type", "enum", "const", "properties", "items", "allOf", "anyOf", "oneOf"}
)


class Shape:
    """What may stand at one path of events of one type."""

    def __init__(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        self.kinds: set[str] = set()
        """Of scalars: string, number, boolean, null."""
        self.is_open = False
        """Whether anything may stand below, or here."""
        self.least, self.most = math.inf, -math.inf
        """Of numbers; none is allowed before one is."""
        self._values: set[str] | None = set()
        self._properties: dict[str, list[Mapping[str, Any]]] = {}
        self._below: dict[str, Shape] = {}
        self._refs: set[str] = set()
        has_objects = False
        for node in nodes:
            has_objects = self._take(node) or has_objects
        self.is_open = self.is_open or (has_objects and not self._properties)

    @property
    def values(self) -> frozenset[str] | None:
        """The strings that are allowed; None: any."""
        return frozenset(self._values) if self._values and "string" in self.kinds else None

    @property
    def names(self) -> list[str]:
        """The fields of the object that may stand here."""
        return [*self._properties]

    @property
    def refs(self) -> frozenset[str]:
        """The definitions that this is made of."""
        return frozenset(self._refs)

    @property
    def is_position(self) -> bool:
        """Whether it has a numeric `lat` and `lng`."""
        below = [self.child(name) for name in ("lat", "lng")]
        return all(each is not None and "number" in each.kinds for each in below)

    def child(self, name: str) -> "Shape | None":
        """Return what may stand in a field; None: there is no such field."""
        if name not in self._below:
            nodes = self._properties.get(name)
            if nodes is None:
                return None
            self._below[name] = Shape(nodes)
        return self._below[name]

    def _take(self, node: Mapping[str, Any]) -> bool:
        """Add what one schema says; return whether it lets an object stand here."""
        if not _STRUCTURE & node.keys():
            self.is_open = self.is_open or not node.keys() - {"description", "title"}
            return False
        has_objects = "properties" in node
        for name, below in node.get("properties", {}).items():
            self._properties.setdefault(name, []).append(below)
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/$defs/")
            self._refs.add(name)
            has_objects = self._take(catalogue.schema()["$defs"][name]) or has_objects
        for each in (*node.get("allOf", ()), *node.get("anyOf", ()), *node.get("oneOf", ())):
            has_objects = self._take(each) or has_objects
        types = node.get("type", ())
        for type_ in [types] if isinstance(types, str) else types:
            has_objects = self._take_type(type_, node) or has_objects
        for value in node.get("enum", [node["const"]] if "const" in node else []):
            self._take_value(value)
        return has_objects

    def _take_type(self, type_: str, node: Mapping[str, Any]) -> bool:
        if type_ == "array":
            if "items" not in node:
                self.is_open = True
                return False
            return self._take(node["items"])
        if type_ == "object":
            return True
        self.kinds.add("number" if type_ == "integer" else type_)
        if type_ in ("number", "integer"):
            self.least = min(self.least, node.get("minimum", -math.inf))
            self.most = max(self.most, node.get("maximum", math.inf))
        if type_ == "string" and "enum" not in node and "const" not in node:
            self._values = None
        return False

    def _take_value(self, value: object) -> None:
        if isinstance(value, str):
            self.kinds.add("string")
            if self._values is not None:
                self._values.add(value)


@cache
def event_shape(type_: str) -> Shape:
    """Return what events of a type look like, envelope and `data`."""
    event = catalogue.schema()["$defs"]["Event"]
    data = catalogue.data_schemas().get(type_, {"type": "object"})
    ours = {"type": {"type": "string", "const": type_}, "data": data}
    return Shape([{"type": "object", "properties": {**event["properties"], **ours}}])


@cache
def paths(type_: str) -> tuple[str, ...]:
    """Return the paths of a type, dotted, shortest first; what contains itself is entered once."""
    return tuple(sorted(_paths(event_shape(type_), (), frozenset()), key=len))


def nearest(path: Sequence[str], types: Sequence[str]) -> str | None:
    """Return the path that was probably meant: the same last name elsewhere, or a similar one."""
    by_name = _by_last_name(tuple(types))
    name = path[-1].rpartition(".")[2]  # a key with dots is one key, and was meant as a path
    if name not in by_name:
        similar = difflib.get_close_matches(name, by_name, n=1, cutoff=0.6)
        if not similar:
            return None
        name = similar[0]
    # A path has few namesakes: comparing with all paths would take a second of a hostile filter.
    namesakes = by_name[name][:NAMESAKES]
    return difflib.get_close_matches(".".join(path), namesakes, n=1, cutoff=0.0)[0]


@lru_cache(maxsize=64)
def _by_last_name(types: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted({path for type_ in types for path in paths(type_)}, key=len):
        found.setdefault(path.rpartition(".")[2], []).append(path)
    return found


def _paths(shape: Shape, path: tuple[str, ...], entered: frozenset[str]) -> Iterator[str]:
    if path:
        yield ".".join(path)
    if len(path) == DEEPEST or shape.refs & entered:
        return
    for name in shape.names:
        below = shape.child(name)
        if below is not None:
            yield from _paths(below, (*path, name), entered | shape.refs)
