"""`/v1/projects` and their API keys."""

from collections.abc import Mapping

from services.api.call import Answer, Call
from services.control.access import ADMIN
from services.control.projects import Projects, shown, shown_key
from services.kernel.registration import Project


class ProjectRoutes:
    """The operator's own: all but `/v1/projects/{id}/api-keys` lists need the scope `admin`."""

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    async def create(self, call: Call) -> Answer:
        """Create a project."""
        call.caller.require(ADMIN)
        project = await self._projects.create(call.caller, call.body)
        location = {"Location": f"/v1/projects/{project.id}"}
        return _one(project, status=201, headers=location)

    async def list(self, call: Call) -> Answer:
        """List projects, newest first."""
        call.caller.require(ADMIN)
        page = call.page()
        return call.listed(await self._projects.page(page), page, shown)

    async def get(self, call: Call) -> Answer:
        """Return one project."""
        call.caller.require(ADMIN)
        return _one(await self._projects.get(call.path["id"]))

    async def update(self, call: Call) -> Answer:
        """Change a project, as JSON merge patch."""
        call.caller.require(ADMIN)
        id_, version = call.path["id"], call.if_version
        return _one(await self._projects.update(call.caller, id_, call.body, if_version=version))

    async def delete(self, call: Call) -> Answer:
        """Delete a project with its keys and subscriptions."""
        call.caller.require(ADMIN)
        await self._projects.delete(call.caller, call.path["id"], if_version=call.if_version)
        return Answer(204)

    async def create_key(self, call: Call) -> Answer:
        """Create an API key; the key is shown only in this answer."""
        call.caller.require(ADMIN)
        key, text = await self._projects.create_key(call.caller, call.path["id"], call.body)
        return Answer(201, {**shown_key(key), "key": text})

    async def list_keys(self, call: Call) -> Answer:
        """List a project's keys by prefix and last use."""
        call.caller.require(ADMIN)
        page = call.page()
        return call.listed(await self._projects.keys(call.path["id"], page), page, shown_key)

    async def delete_key(self, call: Call) -> Answer:
        """Revoke a key at once."""
        call.caller.require(ADMIN)
        await self._projects.delete_key(call.caller, call.path["id"], call.path["key_id"])
        return Answer(204)


def _one(
    project: Project, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    return Answer(status, shown(project), {**(headers or {}), "ETag": f'"{project.version}"'})
