"""Tenants and their API keys."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.control.access import SCOPES, Caller, hash_key
from services.control.audit import Audit
from services.control.checks import Checker
from services.control.subscriptions import StaleError
from services.kernel.clock import Clock, rfc3339
from services.kernel.errors import NotFoundError
from services.kernel.event import Json
from services.kernel.geofence import CoordinateOrder
from services.kernel.ids import ApiKeyId, Entropy, ProjectId, is_id, new_id
from services.kernel.ports.control import ApiKeyStore, ProjectStore
from services.kernel.registration import ApiKey, Page, Project

KEY_PREFIX = "priv_"
KEY_BYTES = 32
SHOWN_CHARS = 12
MAX_NAME = 200
STALE = "The project was changed meanwhile: read it again."
MAX_SUBSCRIPTIONS, MOST_SUBSCRIPTIONS = 1_000, 10_000


class Projects:
    """Make, change, list and delete projects and their keys."""

    def __init__(
        self,
        *,
        store: ProjectStore,
        keys: ApiKeyStore,
        audit: Audit,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._store = store
        self._keys = keys
        self._audit = audit
        self._clock = clock
        self._entropy = entropy

    async def create(self, caller: Caller, body: Json) -> Project:
        """Make a project. Raises FaultsError."""
        fields = _fields(body, creating=True)
        now = self._clock.now()
        project = Project(id=ProjectId(self._id()), created_at=now, updated_at=now, **fields)
        async with self._audit.change(caller, "project") as change:
            await self._store.add(project)
            change.note("create", project.id, project_id=project.id, after=shown(project))
        return project

    async def get(self, id_: str) -> Project:
        """Return a project. Raises NotFoundError."""
        project = await self._store.get(ProjectId(id_)) if is_id(id_) else None
        if project is None:
            raise NotFoundError("project", id_)
        return project

    async def page(self, page: Page) -> Sequence[Project]:
        """Return projects, newest first."""
        return await self._store.page(page)

    async def update(
        self, caller: Caller, id_: str, body: Json, *, if_version: int | None = None
    ) -> Project:
        """Change what *body* names, as JSON merge patch.

        Raises FaultsError, NotFoundError; StaleError where somebody else changed it meanwhile.
        """
        project = await self._as_of(id_, if_version)
        after = replace(project, **_fields(body, creating=False))
        if after == project:
            return project
        after = replace(after, updated_at=self._clock.now())
        async with self._audit.change(caller, "project") as change:
            if not await self._store.replace(after, before=project.updated_at):
                raise StaleError(STALE)
            documents = {"before": shown(project), "after": shown(after)}
            change.note("update", project.id, project_id=project.id, **documents)
        return after

    async def delete(self, caller: Caller, id_: str, *, if_version: int | None = None) -> None:
        """Delete a project with all that belongs to it. Raises NotFoundError, StaleError."""
        project = await self._as_of(id_, if_version)
        async with self._audit.change(caller, "project") as change:
            await self._store.delete(project.id, at=self._clock.now())
            change.note("delete", project.id, project_id=project.id, before=shown(project))

    async def create_key(self, caller: Caller, id_: str, body: Json) -> tuple[ApiKey, str]:
        """Make an API key; return it with the key itself, which is never shown again."""
        project = await self.get(id_)
        check = Checker("The API key is not valid", body, known=("name", "scopes", "expires_at"))
        name = check.text("name", required=True, longest=MAX_NAME)
        scopes = check.choices("scopes", SCOPES, default=("manage",))
        if not scopes:
            check.fault("scopes", "empty", f"name at least one of {', '.join(SCOPES)}")
        expires_at = check.moment("expires_at")
        check.finish()
        secret = base64.urlsafe_b64encode(self._entropy(KEY_BYTES)).decode().rstrip("=")
        text = KEY_PREFIX + secret
        key = ApiKey(
            id=ApiKeyId(self._id()),
            project_id=project.id,
            name=name or "",
            prefix=text[:SHOWN_CHARS],
            hash=hash_key(text),
            scopes=_implied(scopes),
            created_at=self._clock.now(),
            expires_at=expires_at,
            last_used_at=None,
        )
        async with self._audit.change(caller, "api_key") as change:
            await self._keys.add(key)
            change.note("create", key.id, project_id=project.id, after=shown_key(key))
        return key, text

    async def keys(self, id_: str, page: Page) -> Sequence[ApiKey]:
        """Return a project's keys, newest first."""
        project = await self.get(id_)
        return await self._keys.page(project.id, page)

    async def delete_key(self, caller: Caller, id_: str, key_id: str) -> None:
        """Revoke a key. Raises NotFoundError."""
        at: datetime = self._clock.now()
        if not is_id(id_) or not is_id(key_id):
            raise NotFoundError("API key", key_id)
        async with self._audit.change(caller, "api_key") as change:
            deleted = await self._keys.delete(ProjectId(id_), ApiKeyId(key_id), at=at)
            if deleted is None:
                raise NotFoundError("API key", key_id)
            change.note("delete", key_id, project_id=id_, before=shown_key(deleted))

    async def _as_of(self, id_: str, version: int | None) -> Project:
        project = await self.get(id_)
        if version not in (None, project.version):
            raise StaleError(STALE)
        return project

    def _id(self) -> str:
        return new_id(now=self._clock.time(), entropy=self._entropy)


def shown(project: Project) -> Json:
    """Return a project as the API shows it."""
    return {
        "id": project.id,
        "name": project.name,
        "coordinate_order": project.coordinate_order,
        "max_subscriptions": project.max_subscriptions,
        "created_at": rfc3339(project.created_at),
    }


def shown_key(key: ApiKey) -> Json:
    """Return an API key as the API shows it, by its first characters."""
    return {
        "id": key.id,
        "project_id": key.project_id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": list(key.scopes),
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339(key.expires_at) if key.expires_at else None,
        "last_used_at": rfc3339(key.last_used_at) if key.last_used_at else None,
    }


def _fields(body: Json, *, creating: bool) -> dict[str, Any]:
    check = Checker(
        "The project is not valid", body, known=("name", "coordinate_order", "max_subscriptions")
    )
    found: dict[str, Any] = {}
    if creating or "name" in check.body:
        found["name"] = check.text("name", required=True, longest=MAX_NAME)
    if "coordinate_order" in check.body:
        order = check.choice("coordinate_order", list(CoordinateOrder))
        found["coordinate_order"] = CoordinateOrder(order) if order else None
    if "max_subscriptions" in check.body:
        most = check.number("max_subscriptions", least=1, most=MOST_SUBSCRIPTIONS, whole=True)
        found["max_subscriptions"] = most or MAX_SUBSCRIPTIONS
    check.finish()
    return found


def _implied(scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Who may manage may read."""
    return (*scopes, "read") if "manage" in scopes and "read" not in scopes else scopes
