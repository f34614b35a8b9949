"""Geofences: make, change, list, delete. Filters name them; those of the planner come by the log."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.control.access import Access, Caller
from services.control.audit import Audit
from services.control.checks import Checker, kind
from services.control.subscriptions import StaleError
from services.kernel.clock import Clock
from services.kernel.errors import ConflictError, FaultsError, NotFoundError
from services.kernel.event import Json
from services.kernel.geofence import Geofence, GeofenceOrigin
from services.kernel.ids import Entropy, GeofenceId, ProjectId, SubscriptionId, is_id, new_id
from services.kernel.ports.control import GeofenceStore
from services.kernel.registration import Page
from services.match import geofences

NOUN = "geofence"
INVALID = "The geofence is not valid"
MAX_LABEL = 200
MAX_COLOR = 50
MAX_EXTERNAL_ID = 256
MAX_BUFFER_M = 10_000
SETTABLE = ("label", "geometry", "circle", "enabled", "color", "external_id", "exit_buffer_m")


class InUseError(ConflictError):
    """A geofence that filters name; they would match nothing without it."""

    def __init__(self, id_: GeofenceId, subscriptions: Sequence[SubscriptionId]) -> None:
        count = len(subscriptions)
        super().__init__(
            f"the filters of {count} subscription{'s' * (count != 1)} name geofence {id_}:"
            " change them first, or disable the geofence"
        )
        self.subscriptions = tuple(subscriptions)


class Geofences:
    """All that owners do with their geofences."""

    def __init__(
        self,
        *,
        store: GeofenceStore,
        access: Access,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._access = access
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: object) -> Geofence:
        """Make one. Raises FaultsError, NotFoundError."""
        check = Checker(INVALID, body, known=("project_id", *SETTABLE))
        fields = await _fields(check, creating=True)
        try:
            project_id = await self._access.project_for(caller, check.body.get("project_id"))
        except FaultsError as error:
            raise FaultsError(INVALID, [*check.faults, *error.faults]) from error
        check.finish()
        now = self._clock.now()
        geofence = Geofence(
            id=GeofenceId(new_id(now=self._clock.time(), entropy=self._entropy)),
            project_id=project_id,
            changed_at=now,
            created_at=now,
            updated_at=now,
            **fields,
        )
        async with self._audit.change(caller, NOUN) as change:
            await self._store.add(geofence)
            change.note("create", geofence.id, project_id=project_id, after=shown(geofence))
        return geofence

    async def get(self, caller: Caller, id_: str) -> Geofence:
        """Return one. Raises NotFoundError, also for another project's; ConflictError."""
        if not is_id(id_):
            raise NotFoundError("geofence", id_)
        found = await self._store.find(GeofenceId(id_), project_id=caller.project_id)
        if not found:
            raise NotFoundError("geofence", id_)
        if len(found) > 1:  # ids are the planners' own
            raise ConflictError(
                "several projects have a geofence with this id: use a project's key"
            )
        return found[0]

    async def page(
        self, caller: Caller, *, project_id: str | None, page: Page
    ) -> Sequence[Geofence]:
        """Return those that the caller may see, newest first."""
        if caller.project_id is None:
            asked = None if project_id is None else ProjectId(project_id)
            return await self._store.page(project_id=asked, page=page)
        if project_id not in (None, caller.project_id):
            return []
        return await self._store.page(project_id=caller.project_id, page=page)

    async def update(
        self, caller: Caller, id_: str, body: object, *, if_version: int | None = None
    ) -> Geofence:
        """Change what *body* names, as JSON merge patch. Raises FaultsError, StaleError."""
        before = await self.get(caller, id_)
        check = Checker(INVALID, body, known=SETTABLE)
        fields = await _fields(check, creating=False)
        check.finish()
        if if_version is not None and before.version != if_version:
            raise StaleError
        after = replace(before, **fields)
        if after == before:
            return before
        now = self._clock.now()
        after = replace(after, origin=GeofenceOrigin.API, changed_at=now, updated_at=now)
        async with self._audit.change(caller, NOUN) as change:
            if not await self._store.replace(after, version=before.version):
                raise StaleError
            documents = {"before": shown(before), "after": shown(after)}
            change.note("update", after.id, project_id=after.project_id, **documents)
        return replace(after, version=before.version + 1)

    async def delete(self, caller: Caller, id_: str, *, if_version: int | None = None) -> None:
        """Delete it. Raises NotFoundError, also the second time; StaleError; InUseError."""
        found = await self.get(caller, id_)
        if if_version is not None and found.version != if_version:
            raise StaleError
        async with self._audit.change(caller, NOUN) as change:
            users = await self._store.delete(found, at=self._clock.now())
            if users:
                raise InUseError(found.id, users)
            change.note("delete", found.id, project_id=found.project_id, before=shown(found))


def shown(geofence: Geofence) -> Json:
    """Return a geofence as its owner sees it, without its times."""
    return {
        "id": geofence.id,
        "project_id": geofence.project_id,
        "label": geofence.label,
        "geometry": geofence.area.get("geometry"),
        "circle": geofence.area.get("circle"),
        "enabled": geofence.enabled,
        "color": geofence.color,
        "external_id": geofence.external_id,
        "exit_buffer_m": geofence.exit_buffer_m,
        "origin": geofence.origin.value,
    }


async def _fields(check: Checker, *, creating: bool) -> dict[str, Any]:
    body = check.body
    found: dict[str, Any] = {}
    if creating or "label" in body:
        found["label"] = check.text("label", required=True, longest=MAX_LABEL)
    for field, longest in (("color", MAX_COLOR), ("external_id", MAX_EXTERNAL_ID)):
        if field in body:
            found[field] = check.text(field, longest=longest)
    if "exit_buffer_m" in body:
        found["exit_buffer_m"] = check.number("exit_buffer_m", least=0, most=MAX_BUFFER_M)
    if "enabled" in body:
        if not isinstance(body["enabled"], bool):
            message = f"expected true or false, got {kind(body['enabled'])}"
            check.fault("enabled", "type", message)
        found["enabled"] = body["enabled"]
    if creating or body.get("geometry") is not None or body.get("circle") is not None:
        found["area"] = await _area(check)
    else:
        for field in ("geometry", "circle"):
            if field in body:
                check.fault(field, "required", "a geofence has a geometry or a circle")
    return found


async def _area(check: Checker) -> Json:
    geometry, circle = check.body.get("geometry"), check.body.get("circle")
    pointer = check.pointer
    if geometry is None and circle is None:
        message = "write a geometry (GeoJSON Polygon or MultiPolygon), or a circle"
        check.fault("geometry", "required", message)
    elif geometry is not None and circle is not None:
        check.fault("circle", "geo", "write a geometry or a circle, not both")
    elif circle is not None:
        check.faults += geofences.circle_faults(circle, pointer=f"{pointer}/circle")
        return {"circle": circle}
    else:
        # Whether a border of 2,000 positions crosses itself may take a second to say.
        check.faults += await asyncio.to_thread(
            geofences.geometry_faults, geometry, pointer=f"{pointer}/geometry"
        )
        return {"geometry": geofences.plain(geometry)}
    return {}
