"""Filters: judged when they are written, and tried on events before they are kept."""

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

from services import catalogue
from services.control.access import Access, Caller
from services.control.checks import Checker, kind
from services.control.fields import patterns
from services.kernel.errors import Fault, FaultsError
from services.kernel.event import Json
from services.kernel.geofence import Geofence
from services.kernel.ids import ProjectId
from services.kernel.ports.control import GeofenceStore
from services.kernel.registration import Registration
from services.kernel.subscription import Profile
from services.match import filters
from services.match.fences import Fences, around
from services.match.filters import Explanation, Filter
from services.match.types import asked_name

INVALID = "The filter is not valid"
MAX_FAULTS = 50
BROKEN = "this filter can't be read any more, and matches nothing: write it again"


class Judged(NamedTuple):
    """A filter that was read, with the types beside it."""

    project_id: ProjectId
    types: tuple[str, ...]
    tree: Filter | None
    """None: no filter."""
    normal: Json | None
    warnings: Sequence[Fault]


class Explained(NamedTuple):
    """Whether an event would be sent, and if not, why."""

    type_selected: bool
    explanation: Explanation
    """Of the filter; a match where there is none."""

    @property
    def matched(self) -> bool:
        """Whether type and filter both say yes."""
        return self.type_selected and self.explanation.matched


class Filters:
    """Checks filters against the catalogue and the geofences of their project."""

    def __init__(self, *, access: Access, geofences: GeofenceStore) -> None:
        self._access = access
        self._geofences = geofences

    async def judge(
        self, check: Checker, project_id: ProjectId, *, types: Sequence[str], written: object
    ) -> Judged:
        """Read a filter, JSON as the strict loader returns it; faults are left in *check*."""
        if written is None:
            return Judged(project_id, tuple(types), None, None, [])
        known = await self._geofences.of_project(project_id)
        checked = filters.check(
            written,
            types=types,
            geofences={geofence.id for geofence in known},
            pointer=f"{check.pointer}/filter",
            around=around(known),
        )
        check.faults += checked.faults
        return Judged(project_id, tuple(types), checked.tree, checked.normal, checked.warnings)

    async def check(self, caller: Caller, body: object) -> tuple[Judged | None, Sequence[Fault]]:
        """Judge `{"types", "filter"}`: what is wrong with the two is the answer.

        Raises FaultsError where anything else is wrong with the question.
        """
        check = Checker(INVALID, body, known=("project_id", "types", "filter"))
        judged = await self.read(caller, check)
        faults = [fault for fault in check.faults if _is_about(fault, ("/types", "/filter"))]
        if len(faults) < len(check.faults):
            check.finish()
        return judged, faults

    async def read(self, caller: Caller, check: Checker) -> Judged | None:
        """Read project, types and filter of a body; None where its project isn't known."""
        types = patterns(check)
        try:
            project_id = await self._access.project_for(caller, check.body.get("project_id"))
        except FaultsError as error:
            check.faults += error.faults
            return None
        written = check.body.get("filter")
        found = await self.judge(check, project_id, types=types, written=written)
        check.faults[:] = with_marks(check)
        return found

    async def explain(self, caller: Caller, body: object) -> tuple[Judged, Explained]:
        """Say whether an event matches. Raises FaultsError."""
        check = Checker(INVALID, body, known=("project_id", "types", "filter", "event"))
        judged = await self.read(caller, check)
        event = check.body.get("event")
        if not isinstance(event, dict):
            message = f"expected an event, an object, got {kind(event)}"
            check.fault("event", "required" if event is None else "type", message)
        elif not isinstance(event.get("type"), str):
            message = "the event's type is required"
            check.fault("event/type", "required", message)
        check.finish()
        assert judged is not None  # noqa: S101 - else there was a fault
        assert isinstance(event, dict)  # noqa: S101 - nor that
        fences = await self.fences(judged.project_id)
        return judged, explained(judged.types, judged.tree, event, fences)

    async def tree(
        self, project_id: ProjectId, normal: Json | None, types: Sequence[str]
    ) -> Filter | None:
        """Return a filter that was judged before."""
        check = Checker(INVALID, {}, known=())
        return (await self.judge(check, project_id, types=types, written=normal)).tree

    async def fences(self, project_id: ProjectId) -> Fences:
        """Return the geofences of a project, as filters ask them."""
        return Fences.of(await self._geofences.of_project(project_id))

    async def warnings(self, registration: Registration) -> Sequence[Fault]:
        """Return what is odd about the filter of a subscription now, geofences that are gone too."""
        if registration.filter is None:
            return []
        known: Sequence[Geofence] = await self._geofences.of_project(registration.project_id)
        if filters.stored(registration.filter) is None:
            return [Fault("broken", BROKEN, "/filter")]
        written = filters.load(registration.filter.encode())
        checked = filters.check(written, types=registration.types, geofences=None)
        ids = {geofence.id for geofence in known if geofence.enabled}
        gone = filters.check(written, types=(), geofences=ids, schema=False).faults
        return [*checked.warnings, *gone]


def explained(types: Sequence[str], tree: Filter | None, event: Json, fences: Fences) -> Explained:
    """Try an event; its type may be an older name."""
    type_ = catalogue.canonical(event["type"])
    if type_ != event["type"]:
        event = {**event, "type": type_}
    selected = asked_name(types, type_, Profile.PLANNER_2022) is not None
    if tree is None:
        return Explained(selected, Explanation(matched=True))
    return Explained(selected, filters.explain(tree, event, fences=fences))


def _is_about(fault: Fault, places: Sequence[str]) -> bool:
    pointer = fault.pointer or ""
    return any(pointer == place or pointer.startswith(f"{place}/") for place in places)


def with_marks(check: Checker, *, beside: str = "filter") -> list[Fault]:
    """Return the faults of a body together with what the strict loader marked beside its filter.

    A marked value is no number to others: what they said of its place is left out.
    """
    rest = copy(check.body)
    if beside in rest:
        rest[beside] = None
    marked = filters.marks(rest, check.pointer)
    places = {fault.pointer for fault in marked}
    others = [fault for fault in check.faults if fault.pointer not in places]
    return [*others, *marked][:MAX_FAULTS]
