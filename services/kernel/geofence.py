"""An area with a name, which filters refer to by its id."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from services.kernel.event import Json
from services.kernel.ids import GeofenceId, ProjectId
from services.kernel.value import value


class CoordinateOrder(StrEnum):
    """Which number comes first in a bare pair; nobody can tell by looking at it."""

    LAT_LNG = "lat_lng"  #: as people say it
    LNG_LAT = "lng_lat"  #: as GeoJSON has it


class GeofenceOrigin(StrEnum):
    """Who said what a geofence is."""

    API = "api"  #: somebody who called us
    PLANNER = "planner"  #: an event in `planner.master`


@value
class Geofence:
    """A geofence as its project sees it."""

    id: GeofenceId
    project_id: ProjectId
    label: str
    area: Json
    """`{"circle": {"center": {"lat", "lng"}, "radius_m"}}`, or `{"geometry": …}` with a GeoJSON
    Polygon or MultiPolygon, `[lng, lat]`."""
    enabled: bool = True
    """A disabled one is neither within nor outside."""
    color: str | None = None
    external_id: str | None = None
    exit_buffer_m: float | None = None
    """So far outside a vehicle has left at once; None: as the `geofence` role is set."""
    origin: GeofenceOrigin = GeofenceOrigin.API
    changed_at: datetime
    """When what it says came about; news from before change nothing."""
    created_at: datetime
    updated_at: datetime
    version: int = 1


class GeofenceNews(NamedTuple):
    """What an event in the log says of a geofence."""

    geofence: Geofence
    deleted: bool
