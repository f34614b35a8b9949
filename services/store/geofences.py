"""Table `geofences`: as the API writes it, as workers read it, and what the log says of it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

import asyncpg
import orjson

from services.kernel.clock import Clock
from services.kernel.geofence import CoordinateOrder, Geofence, GeofenceNews, GeofenceOrigin
from services.kernel.ids import GeofenceId, ProjectId, SubscriptionId
from services.kernel.operation import vanished
from services.kernel.registration import Page
from services.store.notifications import notifications
from services.store.operations import about, keep
from services.store.pool import Pool, queries

CHANNEL = "webhooks_geofences"


class PostgresGeofences:
    """The `GeofenceStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, geofence: Geofence) -> None:
        """Store a new one."""
        await self._pool.execute(
            "add_geofence",
            geofence.id,
            geofence.project_id,
            *_said(geofence),
            geofence.created_at,
            geofence.exit_buffer_m,
        )

    async def find(self, id_: GeofenceId, *, project_id: ProjectId | None) -> Sequence[Geofence]:
        """Return those with this id: one in a project; None: of all."""
        return [_geofence(row) for row in await self._pool.fetch("find_geofences", id_, project_id)]

    async def of_project(self, project_id: ProjectId) -> Sequence[Geofence]:
        """Return all of a project."""
        return [_geofence(row) for row in await self._pool.fetch("some_geofences", [project_id])]

    async def page(self, *, project_id: ProjectId | None, page: Page) -> Sequence[Geofence]:
        """Return those of a project (None: of all), newest first."""
        rows = await self._pool.fetch("page_geofences", project_id, page.before, page.limit)
        return [_geofence(row) for row in rows]

    async def replace(self, geofence: Geofence, *, version: int) -> bool:
        """Overwrite it if it still has *version*; tell whether it had."""
        touched = await self._pool.execute(
            "replace_geofence",
            geofence.project_id,
            geofence.id,
            version,
            *_said(geofence),
            geofence.updated_at,
            geofence.exit_buffer_m,
        )
        return touched > 0

    async def delete(self, geofence: Geofence, *, at: datetime) -> Sequence[SubscriptionId]:
        """Delete it, unless it is in use; return the subscriptions whose filters name it."""
        sql = queries()
        key = geofence.project_id, geofence.id
        async with self._pool.transaction() as connection:
            rows = await connection.fetch(sql["geofence_users"], *key)
            if not rows:
                await connection.execute(sql["delete_geofence"], *key, at)
        return [row["subscription_id"] for row in rows]


class PostgresGeofenceSource:
    """The `GeofenceSource` of the workers."""

    def __init__(self, *, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def load_geofences(
        self, projects: Collection[ProjectId] | None = None
    ) -> Mapping[ProjectId, Sequence[Geofence]]:
        """Return those of *projects* (None: of all), by project."""
        asked = None if projects is None else list(projects)
        found: dict[ProjectId, list[Geofence]] = {}
        for row in await self._pool.fetch("some_geofences", asked):
            found.setdefault(row["project_id"], []).append(_geofence(row))
        return found

    async def geofence_changes(self) -> AsyncIterator[Collection[ProjectId] | None]:
        """Yield projects whose geofences change; None after each connection was made."""
        async with aclosing(notifications(self._pool, channel=CHANNEL, clock=self._clock)) as heard:
            async for ids in heard:
                yield None if ids is None else [ProjectId(id_) for id_ in ids]

    async def take_geofence(self, news: GeofenceNews) -> bool:
        """Store what an event says, unless what is stored is newer; tell whether that changed it."""
        geofence, sql = news.geofence, queries()
        async with self._pool.transaction() as connection:
            row = await connection.fetchrow(
                sql["take_geofence"],
                geofence.id,
                geofence.project_id,
                *_said(geofence),
                geofence.created_at,
                geofence.updated_at,
                geofence.changed_at if news.deleted else None,
            )
            changed = row is not None and bool(row["changed"])
            if changed and news.deleted:
                users = await connection.fetch(
                    sql["geofence_users"], geofence.project_id, geofence.id
                )
                await keep(connection, [vanished(about(user), geofence) for user in users])
        return changed

    async def coordinate_order(self, project_id: ProjectId) -> CoordinateOrder | None:
        """Return which number comes first in a bare pair of the project; None: nobody said."""
        row = await self._pool.fetchrow("coordinate_order", project_id)
        order = row["coordinate_order"] if row else None
        return CoordinateOrder(order) if order else None


def _said(geofence: Geofence) -> tuple[object, ...]:
    return (
        geofence.label,
        geofence.color,
        geofence.external_id,
        geofence.enabled,
        orjson.dumps(geofence.area).decode(),
        geofence.origin.value,
        geofence.changed_at,
    )


def _geofence(row: asyncpg.Record) -> Geofence:
    return Geofence(
        id=row["id"],
        project_id=row["project_id"],
        label=row["label"],
        area=orjson.loads(row["area"]),
        enabled=row["enabled"],
        color=row["color"],
        external_id=row["external_id"],
        origin=GeofenceOrigin(row["origin"]),
        changed_at=row["changed_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        version=row["version"],
        exit_buffer_m=row["exit_buffer_m"],
    )
