"""Table `portal_links`."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.kernel.ids import PortalLinkId, ProjectId
from services.kernel.portal import Look, PortalLink
from services.kernel.registration import Page
from services.store.pool import Pool


class PostgresPortalLinks:
    """The `PortalLinkStore` of the API."""

    def __init__(self, *, pool: Pool) -> None:
        self._pool = pool

    async def add(self, link: PortalLink) -> None:
        """Store a new link."""
        await self._pool.execute(
            "add_portal_link",
            link.id,
            link.project_id,
            link.subscriptions,
            link.scopes,
            link.origins,
            link.look.accent,
            link.look.logo_url,
            link.hash,
            link.created_by,
            link.created_at,
            link.expires_at,
        )

    async def by_hash(self, hash_: bytes) -> PortalLink | None:
        """Return the link with this hash."""
        row = await self._pool.fetchrow("portal_link_by_hash", hash_)
        return _link(row) if row else None

    async def page(self, project_id: ProjectId | None, page: Page) -> Sequence[PortalLink]:
        """Return those of a project, newest first."""
        rows = await self._pool.fetch("page_portal_links", project_id, page.before, page.limit)
        return [_link(row) for row in rows]

    async def used(self, id_: PortalLinkId, *, at: datetime) -> None:
        """Note that it was used."""
        await self._pool.execute("portal_link_used", id_, at)

    async def revoke(
        self, project_id: ProjectId | None, id_: PortalLinkId, *, at: datetime
    ) -> PortalLink | None:
        """Revoke it; return it as it was, None where it wasn't there."""
        row = await self._pool.fetchrow("revoke_portal_link", project_id, id_, at)
        return _link(row) if row else None

    async def expire(self, *, before: datetime) -> None:
        """Forget links that ended before then."""
        await self._pool.execute("expire_portal_links", before)


def _link(row: asyncpg.Record) -> PortalLink:
    among = row["subscriptions"]
    return PortalLink(
        id=PortalLinkId(row["id"]),
        project_id=ProjectId(row["project_id"]),
        subscriptions=None if among is None else tuple(among),
        scopes=tuple(row["scopes"]),
        origins=tuple(row["origins"]),
        look=Look(row["accent"], row["logo_url"]),
        hash=row["hash"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
    )
