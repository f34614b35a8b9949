"""`/v1/portal-links`: ways in for one customer each."""

from services.api.call import Answer, Call
from services.control.portal import PortalLinks, shown

FILTERS = ("project_id",)
PATH = "/portal/"


class PortalRoutes:
    """What whoever manages a project does with its links."""

    def __init__(self, links: PortalLinks, *, public_url: str | None) -> None:
        self._links = links
        self._public_url = public_url

    async def create(self, call: Call) -> Answer:
        """Create a link to the pages of one customer; its token is shown only in this answer."""
        call.caller.require("manage")
        link, token = await self._links.create(call.caller, call.body)
        base = self._public_url or f"http://{call.headers.get('Host', '127.0.0.1')}"
        return Answer(201, {**shown(link), "url": f"{base}{PATH}{token}", "token": token})

    async def list(self, call: Call) -> Answer:
        """List links that are not revoked, newest first."""
        call.caller.require("read")
        page = call.page(*FILTERS)
        rows = await self._links.page(
            call.caller, project_id=call.query.get("project_id"), page=page
        )
        return call.listed(rows, page, shown, *FILTERS)

    async def revoke(self, call: Call) -> Answer:
        """Revoke a link; whoever is using it is signed out at once."""
        call.caller.require("manage")
        await self._links.revoke(call.caller, call.path["id"])
        return Answer(204)
