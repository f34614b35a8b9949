"""Type patterns: exact, older name, umbrella, trailing wildcard; and the name asked for.

The most specific pattern that matches decides in which name the receiver is answered: exact name,
then umbrella, then the longest wildcard; of equals, the first listed. Streams match by name alone.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from services import catalogue
from services.catalogue import OLDER, RESERVED, ROUTAL
from services.kernel.errors import Fault
from services.kernel.subscription import Profile

MAX_LENGTH = 128


class Kind(IntEnum):
    """How specific a pattern is; the higher wins."""

    WILDCARD = 0  #: `*`, or a prefix with `.*`: one or more further segments
    UMBRELLA = 1  #: one name for several types, `stop.report`
    EXACT = 2  #: one type, by today's or an older name


class Pattern(NamedTuple):
    """A pattern, understood."""

    kind: Kind
    written: str
    name: str
    """Today's name: of the type, or the prefix of a wildcard with its dot (`stop.report.`)."""
    types: frozenset[str]
    """Of an umbrella."""

    def matches(self, type_: str) -> bool:
        """Tell whether an event of today's *type_* is selected."""
        if self.kind is Kind.EXACT:
            return type_ == self.name
        if self.kind is Kind.UMBRELLA:
            return type_ in self.types
        return (
            type_.startswith(self.name)
            and len(type_) > len(self.name)
            and not catalogue.is_stream(type_)
        )

    def answer(self, type_: str, profile: Profile) -> str:
        """Return *type_* in the name that this pattern asks for."""
        if self.kind is not Kind.WILDCARD:
            return self.written
        if self.written == "*":
            return own_name(type_, profile)
        return self.written[:-1] + type_[len(self.name) :]


@lru_cache(maxsize=4096)
def parse(written: str) -> Pattern:
    """Understand a pattern. What selects nothing is understood too; `faults` tells of it."""
    if written == "*":
        return Pattern(Kind.WILDCARD, written, "", frozenset())
    if written.endswith(".*"):
        return Pattern(Kind.WILDCARD, written, catalogue.canonical(written[:-1]), frozenset())
    umbrella = catalogue.umbrellas().get(written.removeprefix(ROUTAL))
    if umbrella is not None:
        return Pattern(Kind.UMBRELLA, written, catalogue.canonical(written), umbrella)
    return Pattern(Kind.EXACT, written, catalogue.canonical(written), frozenset())


def asked_name(patterns: Iterable[str], type_: str, profile: Profile) -> str | None:
    """Return the name in which an event of *type_* is wanted; None: it isn't."""
    best: Pattern | None = None
    for written in patterns:
        pattern = parse(written)
        if pattern.matches(type_) and (best is None or _rank(pattern) > _rank(best)):
            best = pattern
    return best.answer(type_, profile) if best is not None else None


def selected(written: str) -> list[str]:
    """Return the catalogue's types that a pattern selects."""
    pattern = parse(written)
    return [type_ for type_ in catalogue.event_types() if pattern.matches(type_)]


@lru_cache(maxsize=4096)
def topics_of(written: str) -> frozenset[str]:
    """Return the topics in which the catalogue has the types that a pattern selects."""
    known = catalogue.event_types()
    return frozenset(known[type_].topic for type_ in selected(written))


def faults(patterns: Sequence[object], *, pointer: str) -> list[Fault]:
    """Return what is wrong with *patterns*, each with its place below *pointer*."""
    found = []
    seen: set[object] = set()
    for n, written in enumerate(patterns):
        fault = _fault(written, f"{pointer}/{n}")
        if fault is None and written in seen:
            fault = Fault("duplicate", f"{written!r} stands here twice", f"{pointer}/{n}")
        seen.add(str(written))
        if fault is not None:
            found.append(fault)
    return found


def own_name(type_: str, profile: Profile) -> str:
    """Return *type_* in the generation of names that *profile* speaks."""
    generations = {
        Profile.PLANNER_V2: ("driver.", "client."),
        Profile.HIGHWAY_V1: ("service.", "client."),
    }
    for old in generations.get(profile, ()):
        if type_.startswith(OLDER[old]):
            return old + type_[len(OLDER[old]) :]
    return type_


def _rank(pattern: Pattern) -> tuple[int, int]:
    return pattern.kind, len(pattern.name)


def _fault(written: object, pointer: str) -> Fault | None:
    if not isinstance(written, str):
        return Fault("type", f"expected a string, got {_kind(written)}", pointer)
    if len(written) > MAX_LENGTH:
        return Fault("limit", f"{len(written)} characters, {MAX_LENGTH} are allowed", pointer)
    if written.startswith(RESERVED):
        return Fault("unknown_type", f"{RESERVED}* is reserved: no such events exist", pointer)
    if "*" in written[:-1] or (written.endswith("*") and written != "*" and written[-2:] != ".*"):
        message = f'{written!r}: "*" stands alone or at the end, after a dot: "stop.*"'
        return Fault("unknown_type", message, pointer)
    if selected(written):
        return None
    near = catalogue.nearest(written.removesuffix(".*"))
    hint = f": did you mean {near!r}?" if near else "; GET /v1/event-types lists them"
    return Fault("unknown_type", f"no event type {written!r}{hint}", pointer)


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", list: "an array"}
    return names.get(type(value), "null" if value is None else "an object")
