"""One position against the fences of today. Pure: the same again gives the same again.

late, from the future     nothing happens, and nothing is remembered
inaccurate, hardly moved  its time counts, its place doesn't
exits                     well outside, or outside for the second time in a row: since the first
enters                    inside, where the position before lies outside
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from math import cos, hypot, radians
from typing import Any, NamedTuple, Protocol

import orjson

from services.geofence.vehicle import Inside, Vehicle, kept
from services.kernel.clock import rfc3339
from services.kernel.event import Event, Json
from services.kernel.value import value

ENTERED, EXITED = "vehicle.geofence.entered", "vehicle.geofence.exited"
AHEAD_MS = 300_000
"""By which a position's own clock may be ahead of ours."""
DEGREE_M = 111_195.0
"""Of latitude."""
_IDS = ("vehicle_id", "route_id", "plan_id")
_NUMBERS: frozenset[object] = frozenset({int, float})


class Shape(Protocol):
    """An area."""

    def contains(self, lat: float, lng: float) -> bool:
        """Tell whether a point is inside."""

    def metres_to_border(self, lat: float, lng: float) -> float:
        """Return how far the border is."""


class Fence(Protocol):
    """A fence as it is now."""

    @property
    def id(self) -> str:
        """Return its id."""

    @property
    def shape(self) -> Shape:
        """Return where it is."""

    @property
    def version(self) -> int:
        """Return a number that grows when it is edited."""

    @property
    def label(self) -> str:
        """Return its name for people."""

    @property
    def external_id(self) -> str | None:
        """Return its id in the customer's own system."""

    @property
    def exit_buffer_m(self) -> float | None:
        """Return how far outside a vehicle has left at once; None: as for all."""


class Fences(Protocol):
    """The enabled fences of a project as they are now."""

    def __len__(self) -> int:
        """Return how many there are."""

    def at(self, lat: float, lng: float) -> Iterable[str]:
        """Return the ids of those that a point is in."""

    def fence(self, id_: str) -> Fence | None:
        """Return one; None: it is disabled or gone."""


@value
class Bounds:
    """How sure we are."""

    exit_buffer_m: float = 30.0
    """Beyond the border: outside at once."""
    max_accuracy_m: float = 100.0
    """Positions that are less accurate decide nothing."""


class Verdict(StrEnum):
    """What became of a position; a closed set, used as a label."""

    JUDGED = "judged"  #: against the fences
    FIRST = "first"  #: of its vehicle: it sets the state
    LATE = "late"  #: not newer than the newest, by its own time
    FUTURE = "future"  #: its clock is wrong
    INACCURATE = "inaccurate"  #: or it hardly moved: jitter
    UNREADABLE = "unreadable"  #: no place, or no time

    @property
    def counts(self) -> bool:
        """Whether a position is remembered, if only by its time."""
        return self in {Verdict.JUDGED, Verdict.FIRST, Verdict.INACCURATE}


_DECISIVE = frozenset({Verdict.JUDGED, Verdict.FIRST})


class Judged(NamedTuple):
    """What follows from a position."""

    vehicle: Vehicle | None
    """What is known after it; None: nothing at all."""
    transitions: list[Json]
    """Events to be produced, in this order."""
    changed: bool
    """Whether what is known of fences changed: it is written at once."""
    verdict: Verdict


class _Fix(NamedTuple):
    """A position, read."""

    lat: float
    lng: float
    at_ms: int
    seq: int
    accuracy: float | None
    position: Json


def judge(vehicle: Vehicle | None, event: Event, fences: Fences, bounds: Bounds) -> Judged:
    """Take in a `vehicle.position`. *vehicle* is changed and returned."""
    fix = _read(event)
    verdict = _verdict(vehicle, fix, event, bounds)
    if vehicle is not None and fix is not None and verdict.counts:
        vehicle.at_ms, vehicle.seq = fix.at_ms, fix.seq
    if fix is None or verdict not in _DECISIVE:
        return Judged(vehicle, [], changed=False, verdict=verdict)
    if vehicle is None:
        return Judged(_first(fix, fences), [], changed=True, verdict=verdict)
    exits: list[Json] = []
    changed = moved = False
    if vehicle.inside:
        changed = _judge_again(vehicle, fences)
        exits, moved = _exits(vehicle, fix, event, fences, bounds)
    enters, entered = _enters(vehicle, fix, event, fences)
    vehicle.lat, vehicle.lng, vehicle.last = fix.lat, fix.lng, kept(fix.position)
    return Judged(vehicle, exits + enters, changed or moved or entered, verdict)


def _verdict(vehicle: Vehicle | None, fix: _Fix | None, event: Event, bounds: Bounds) -> Verdict:
    if fix is None:
        return Verdict.UNREADABLE
    if fix.at_ms > event.timestamp_ms + AHEAD_MS:
        return Verdict.FUTURE
    if vehicle is not None and (fix.at_ms, fix.seq) <= (vehicle.at_ms, vehicle.seq):
        return Verdict.LATE
    if fix.accuracy is not None and fix.accuracy > bounds.max_accuracy_m:
        return Verdict.INACCURATE
    if vehicle is None:
        return Verdict.FIRST
    return Verdict.INACCURATE if _hardly_moved(vehicle, fix) else Verdict.JUDGED


def _first(fix: _Fix, fences: Fences) -> Vehicle:
    vehicle = Vehicle(
        at_ms=fix.at_ms, seq=fix.seq, lat=fix.lat, lng=fix.lng, last=kept(fix.position)
    )
    for id_ in fences.at(fix.lat, fix.lng):
        fence = fences.fence(id_)
        if fence is not None:
            vehicle.inside[id_] = Inside(fix.at_ms, fence.version)
    return vehicle


def _hardly_moved(vehicle: Vehicle, fix: _Fix) -> bool:
    if not fix.accuracy:
        return False
    return _metres(vehicle.lat, vehicle.lng, fix.lat, fix.lng) < fix.accuracy


def _judge_again(vehicle: Vehicle, fences: Fences) -> bool:
    """Judge the place before by fences that were edited since: silently. Tell whether any was."""
    changed = False
    for id_, known in list(vehicle.inside.items()):
        fence = fences.fence(id_)
        if fence is not None and fence.version == known.version:
            continue
        changed = True
        if fence is not None and fence.shape.contains(vehicle.lat, vehicle.lng):
            vehicle.inside[id_] = Inside(known.since_ms, fence.version)
        else:
            del vehicle.inside[id_]
            vehicle.outside.pop(id_, None)
    return changed


def _exits(
    vehicle: Vehicle, fix: _Fix, event: Event, fences: Fences, bounds: Bounds
) -> tuple[list[Json], bool]:
    found, changed = [], False
    for id_, known in list(vehicle.inside.items()):
        fence = fences.fence(id_)
        assert fence is not None  # noqa: S101 - those that are gone were dropped
        if fence.shape.contains(fix.lat, fix.lng):
            changed |= vehicle.outside.pop(id_, None) is not None
            continue
        changed = True
        first = vehicle.outside.pop(id_, None)
        buffer = fence.exit_buffer_m if fence.exit_buffer_m is not None else bounds.exit_buffer_m
        is_far = fence.shape.metres_to_border(fix.lat, fix.lng) > buffer
        if first is None and not is_far:
            vehicle.outside[id_] = fix.at_ms
            continue
        del vehicle.inside[id_]
        exited_ms = fix.at_ms if first is None else first
        times = {
            "entered_at": _time(known.since_ms),
            "exited_at": _time(exited_ms),
            "dwell_seconds": (exited_ms - known.since_ms) / 1000,
        }
        found.append(_transition(EXITED, fence, exited_ms, vehicle, fix, event, times))
    return found, changed


def _enters(vehicle: Vehicle, fix: _Fix, event: Event, fences: Fences) -> tuple[list[Json], bool]:
    found, changed = [], False
    for id_ in fences.at(fix.lat, fix.lng):
        fence = fences.fence(id_)
        if fence is None or id_ in vehicle.inside:
            continue
        changed = True
        vehicle.inside[id_] = Inside(fix.at_ms, fence.version)
        if not fence.shape.contains(vehicle.lat, vehicle.lng):
            times = {"entered_at": _time(fix.at_ms)}
            found.append(_transition(ENTERED, fence, fix.at_ms, vehicle, fix, event, times))
    return found, changed


def _transition(  # noqa: PLR0917 - what it is made of
    type_: str, fence: Fence, at_ms: int, vehicle: Vehicle, fix: _Fix, event: Event, times: Json
) -> Json:
    data: Json = event.body["data"]
    who = who_of(event)
    kind = type_.rpartition(".")[2]
    about: Json = {"id": fence.id, "label": fence.label, "version": fence.version}
    if fence.external_id is not None:
        about["external_id"] = fence.external_id
    found: Json = {
        # The same position judged again gives the same id.
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{who}|{fence.id}|{kind}|{event.id}")),
        "type": type_,
        "created_at": _time(at_ms),
        "project_id": event.project_id,
        "user": None,
        "meta": {"ordering_key": who, "origin": "system"},
        "data": {
            **{name: data[name] for name in _IDS if data.get(name) is not None},
            "geo_fence": about,
            "position": fix.position,
            **times,
            "previous_position": orjson.loads(vehicle.last),
            "cause_event_id": event.id,
        },
    }
    if "organization_id" in event.body:
        found["organization_id"] = event.body["organization_id"]
    return found


def who_of(event: Event) -> str | None:
    """Return the vehicle of a position, else its route; None: it has neither."""
    data: Json = event.body["data"]
    who = data.get("vehicle_id") or data.get("route_id")
    return who if isinstance(who, str) else None


def _read(event: Event) -> _Fix | None:
    position: Any = event.body["data"].get("position")
    if position.__class__ is not dict or who_of(event) is None:
        return None
    lat: Any = position.get("lat")
    lng: Any = position.get("lng")
    # The class first: True is 1 in Python.
    if lat.__class__ not in _NUMBERS or lng.__class__ not in _NUMBERS:
        return None
    if not (-90 <= lat <= 90 and -180 <= lng <= 180):  # noqa: PLR2004 - degrees
        return None
    at_ms = _ms(position.get("created_at") or event.created_at)
    if at_ms is None:
        return None
    seq, accuracy = position.get("seq"), position.get("accuracy")
    return _Fix(
        lat,
        lng,
        at_ms,
        seq if seq.__class__ is int else -1,
        accuracy if accuracy.__class__ in _NUMBERS else None,
        position,
    )


def _ms(text: object) -> int | None:
    """Return Unix milliseconds; a time without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _time(at_ms: int) -> str:
    return rfc3339(datetime.fromtimestamp(at_ms / 1000, tz=UTC))


def _metres(lat: float, lng: float, other_lat: float, other_lng: float) -> float:
    """Return how far two places are apart, on a plane: told of accuracies, metres."""
    wide = abs(other_lng - lng)
    east = (wide if wide <= 180 else 360 - wide) * cos(radians(lat))  # noqa: PLR2004 - degrees
    return DEGREE_M * hypot(east, other_lat - lat)
