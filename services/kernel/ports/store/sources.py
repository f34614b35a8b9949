"""What people set up, as workers read it: all of it, and word of changes."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.kernel.geofence import CoordinateOrder, Geofence, GeofenceNews
from services.kernel.ids import ProjectId, SubscriptionId
from services.kernel.subscription import Subscription


class SubscriptionSource(Protocol):
    """All subscriptions that are not deleted, and word of changes."""

    def load_all(self) -> AsyncIterator[Sequence[Subscription]]:
        """Yield all of them by their ids, some at a time, secrets decrypted.

        No snapshot: what is written meanwhile may be in it or not, and `changes` tells of it afterwards.
        """

    async def load(self, ids: Collection[SubscriptionId]) -> Sequence[Subscription]:
        """Return those of *ids* that exist; the others were deleted."""

    async def changed_within(self, seconds: float) -> Collection[SubscriptionId]:
        """Return which were made, changed or deleted within the last *seconds*."""

    def changes(self) -> AsyncIterator[Collection[SubscriptionId] | None]:
        """Yield ids as they change; None whenever notifications may have been missed.

        Ends never; survives the loss of its connection by itself.
        """

    async def disable(self, id_: SubscriptionId, *, reason: str, at: datetime) -> bool:
        """Disable it if it is active, and keep the operational event; tell whether that did anything."""


class GeofenceSource(Protocol):
    """All geofences that are not deleted, word of changes, and what the log says of them."""

    async def load_geofences(
        self, projects: Collection[ProjectId] | None = None
    ) -> Mapping[ProjectId, Sequence[Geofence]]:
        """Return those of *projects* (None: of all), by project; one without any may be absent."""

    def geofence_changes(self) -> AsyncIterator[Collection[ProjectId] | None]:
        """Yield projects whose geofences change; None whenever notifications may have been missed.

        Ends never; survives the loss of its connection by itself.
        """

    async def take_geofence(self, news: GeofenceNews) -> bool:
        """Store what an event says, unless what is stored is newer; tell whether that changed it.

        A deletion keeps an operational event for each subscription whose filter names it.
        """

    async def coordinate_order(self, project_id: ProjectId) -> CoordinateOrder | None:
        """Return which number comes first in a bare pair of the project; None: nobody said."""
