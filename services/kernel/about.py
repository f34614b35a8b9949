"""What people can find an event by: its type, and the plan, route, stop and vehicle it is about.

Determined once per event, where it is decoded anyway; kept with its attempts, and in its retry row,
whose body may use other names.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.kernel.event import Event, Json

MAX_TEXT = 256
"""The longest id in characters; a longer one can't be the Planner's, and is left out."""


class About(NamedTuple):
    """What an event is about. None where it doesn't say."""

    type: str
    """Today's name, whatever name its subscriptions ask for; empty where it isn't known."""
    plan_id: str | None = None
    route_id: str | None = None
    stop_id: str | None = None
    vehicle_id: str | None = None
    external_id: str | None = None
    also: tuple[str, ...] = ()
    """Of a batch: what each of its events is found by that isn't above; see `term`."""


NOTHING = About("")
"""Of what is no event of the log."""
_KINDS = {
    "type": "t", "plan_id": "p", "route_id": "r", "stop_id": "s", "vehicle_id": "v",
    "external_id": "x", "event_id": "e",
}  # fmt: skip


def about(event: Event) -> About:
    """Return what *event* is about."""
    return about_data(event.type, event.body["data"])


def about_data(type_: str, data: Json) -> About:
    """Return what an event of this type with this `data` is about.

    `data` is the entity itself, or holds it under its name, or names it as `plan_id` and so on; the
    catalogue has all three. An entity's `id` is its own, of the family that the type begins with.
    """
    family = type_.partition(".")[0]
    nested = data.get(family)
    entity = nested if nested.__class__ is dict else data
    get = entity.get
    plan, route, stop, vehicle = get("plan_id"), get("route_id"), get("stop_id"), get("vehicle_id")
    external = get("external_id")
    if entity is not data:  # what changed hands is named beside it
        plan = plan or data.get("to_plan_id") or data.get("from_plan_id")
        route = route or data.get("to_route_id") or data.get("from_route_id")
    if family == "stop":
        stop = stop or get("id")
    elif family == "route":
        route = route or get("id")
    elif family == "plan":
        plan = plan or get("id")
    elif family == "vehicle":
        vehicle = vehicle or get("id")
    found = About(type_, plan, route, stop, vehicle, external)
    for text in found[:6]:
        if text is not None and (text.__class__ is not str or len(text) > MAX_TEXT):
            return About._make((type_, *map(_named, found[1:6]), ()))
    return found


def together(ids: Iterable[str], events: Sequence[About]) -> About:
    """Return what a batch is about: what all of its events share, and `also` by what each is found."""
    also = [term("event_id", id_) for id_ in ids]
    shared: list[str | None] = []
    for name, texts in zip(About._fields, zip(*events, strict=True), strict=True):
        if name == "also":
            break
        different = dict.fromkeys(texts)
        shared.append(texts[0] if len(different) == 1 else None)
        if len(different) > 1:
            also += [term(name, text) for text in different if text]
    return About._make((shared[0] or "", *shared[1:], tuple(also)))


def term(name: str, text: str) -> str:
    """Return an id as `also` has it, with its kind: an order may be called like a stop."""
    return f"{_KINDS[name]}:{text}"


def types_of(also: Iterable[str]) -> list[str]:
    """Return the types that *also* names."""
    return [each[2:] for each in also if each.startswith("t:")]


def events_of(also: Iterable[str]) -> list[str]:
    """Return the ids of events that *also* names, in their order."""
    return [each[2:] for each in also if each.startswith("e:")]


def _named(id_: object) -> str | None:
    return id_ if isinstance(id_, str) and len(id_) <= MAX_TEXT else None
