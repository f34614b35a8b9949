"""`/v1/geofences`: areas that filters name by id, GeoJSON in and out."""

from services.api.call import Answer, Call
from services.control.geofences import Geofences, shown
from services.kernel.clock import rfc3339
from services.kernel.event import Json
from services.kernel.geofence import Geofence

FILTERS = ("project_id",)


class GeofenceRoutes:
    """What owners do with their geofences."""

    def __init__(self, geofences: Geofences) -> None:
        self._geofences = geofences

    async def create(self, call: Call) -> Answer:
        """Create a geofence."""
        call.caller.require("manage")
        geofence = await self._geofences.create(call.caller, call.body)
        answer = _one(geofence, status=201)
        location = {"Location": f"/v1/geofences/{geofence.id}"}
        return answer._replace(headers={**answer.headers, **location})

    async def list(self, call: Call) -> Answer:
        """List geofences, newest first."""
        call.caller.require("read")
        page = call.page(*FILTERS)
        rows = await self._geofences.page(
            call.caller, project_id=call.query.get("project_id"), page=page
        )
        return call.listed(rows, page, _shown, *FILTERS)

    async def get(self, call: Call) -> Answer:
        """Return one geofence."""
        call.caller.require("read")
        return _one(await self._geofences.get(call.caller, call.path["id"]))

    async def update(self, call: Call) -> Answer:
        """Change a geofence, as JSON merge patch; filters that name it follow within a second."""
        call.caller.require("manage")
        return _one(
            await self._geofences.update(
                call.caller, call.path["id"], call.body, if_version=call.if_version
            )
        )

    async def delete(self, call: Call) -> Answer:
        """Delete a geofence that no filter names."""
        call.caller.require("manage")
        await self._geofences.delete(call.caller, call.path["id"], if_version=call.if_version)
        return Answer(204)


def _one(geofence: Geofence, *, status: int = 200) -> Answer:
    return Answer(status, _shown(geofence), {"ETag": f'"{geofence.version}"'})


def _shown(geofence: Geofence) -> Json:
    return {
        **shown(geofence),
        "created_at": rfc3339(geofence.created_at),
        "updated_at": rfc3339(geofence.updated_at),
    }
