"""`/v1/audit`: who changed what."""

from services.api.call import Answer, Call
from services.control.audit import Audit
from services.kernel.audit import Entry, EntryFilter
from services.kernel.clock import rfc3339
from services.kernel.event import Json

FILTERS = ("project_id", "actor", "action", "object_type", "object", "from", "to")


class AuditRoutes:
    """What a project's keys changed, and the operator in it; for the operator, everything."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit

    async def list(self, call: Call) -> Answer:
        """List who changed what, newest first."""
        call.caller.require("read")
        since, until, faults = call.moments("from", "to")
        page = call.page(*FILTERS, noted=faults)
        query = call.query
        asked = EntryFilter(
            project_id=query.get("project_id"),
            actor=query.get("actor"),
            action=query.get("action"),
            object_type=query.get("object_type"),
            object_id=query.get("object"),
            since=since,
            until=until,
        )
        return call.listed(await self._audit.page(call.caller, asked, page), page, _entry, *FILTERS)


def _entry(entry: Entry) -> Json:
    return {
        "id": entry.id,
        "at": rfc3339(entry.at),
        "actor": entry.actor,
        "address": entry.address,
        "project_id": entry.project_id,
        "action": entry.action,
        "object_type": entry.object_type,
        "object_id": entry.object_id,
        "before": entry.before,
        "after": entry.after,
    }
