"""Tables `projects` and `api_keys`."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.kernel.geofence import CoordinateOrder
from services.kernel.ids import ApiKeyId, ProjectId
from services.kernel.registration import ApiKey, Page, Project
from services.store.pool import Pool, queries


class PostgresProjects:
    """The `ProjectStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, project: Project) -> None:
        """Store a new project."""
        await self._pool.execute(
            "add_project",
            project.id,
            project.name,
            project.created_at,
            project.coordinate_order,
            project.max_subscriptions,
        )

    async def get(self, id_: ProjectId) -> Project | None:
        """Return a project that is not deleted."""
        row = await self._pool.fetchrow("get_project", id_)
        return _project(row) if row else None

    async def page(self, page: Page) -> Sequence[Project]:
        """Return projects, newest first."""
        rows = await self._pool.fetch("page_projects", page.before, page.limit)
        return [_project(row) for row in rows]

    async def replace(self, project: Project, *, before: datetime) -> bool:
        """Overwrite what can be changed of it, if it was last changed at *before*; tell whether."""
        count = await self._pool.execute(
            "replace_project",
            project.id,
            project.name,
            project.coordinate_order,
            project.max_subscriptions,
            project.updated_at,
            before,
        )
        return count > 0

    async def delete(self, id_: ProjectId, *, at: datetime) -> None:
        """Delete it with its keys, geofences, subscriptions and their rows."""
        sql = queries()
        async with self._pool.transaction() as connection:
            await connection.execute(sql["delete_project"], id_, at)
            rows = await connection.fetch(sql["delete_project_subscriptions"], id_, at)
            ids = [row["id"] for row in rows]
            await connection.execute(sql["delete_project_geofences"], id_, at)
            await connection.execute(sql["delete_retries"], ids)
            await connection.execute(sql["delete_lanes"], ids)
            await connection.execute(sql["delete_starts"], ids)
            await connection.execute(sql["delete_health"], ids)
            await connection.execute(sql["delete_trouble"], ids)


class PostgresApiKeys:
    """The `ApiKeyStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, key: ApiKey) -> None:
        """Store a new key."""
        await self._pool.execute(
            "add_api_key",
            key.id,
            key.project_id,
            key.name,
            key.prefix,
            key.hash,
            list(key.scopes),
            key.created_at,
            key.expires_at,
        )

    async def by_hash(self, hash_: bytes) -> ApiKey | None:
        """Return the key with this hash."""
        row = await self._pool.fetchrow("api_key_by_hash", hash_)
        return _key(row) if row else None

    async def page(self, project_id: ProjectId, page: Page) -> Sequence[ApiKey]:
        """Return keys of a project, newest first."""
        rows = await self._pool.fetch("page_api_keys", project_id, page.before, page.limit)
        return [_key(row) for row in rows]

    async def used(self, id_: ApiKeyId, *, at: datetime) -> None:
        """Note that it was used."""
        await self._pool.execute("api_key_used", id_, at)

    async def delete(self, project_id: ProjectId, id_: ApiKeyId, *, at: datetime) -> ApiKey | None:
        """Revoke it; return it as it was, None where it wasn't there."""
        row = await self._pool.fetchrow("delete_api_key", project_id, id_, at)
        return _key(row) if row else None


def _project(row: asyncpg.Record) -> Project:
    order = row["coordinate_order"]
    return Project(**{**row, "coordinate_order": CoordinateOrder(order) if order else None})


def _key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(**{**row, "scopes": tuple(row["scopes"])})
