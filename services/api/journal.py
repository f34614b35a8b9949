"""`GET /v1/events`: the log as a journal."""

import orjson

from services.api.call import Answer, Call
from services.control.checks import parse_moment
from services.control.journal import Asked, Entry, Gap, Journal
from services.kernel.clock import rfc3339_ms
from services.kernel.errors import Fault
from services.kernel.event import Json

PARAMETERS = ("topic", "type", "key", "time", "after", "subscription", "project_id")


class JournalRoutes:
    """Reads the log itself."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def list(self, call: Call) -> Answer:
        """Read the log from a time or a pointer on; what was or would have been sent to one."""
        call.caller.require("read")
        query = call.query
        limit, faults = call.limit()
        faults += call.unknown("limit", *PARAMETERS)
        time = parse_moment(query.get("time"))
        if "time" in query and time is None:
            message = "write a time as 2026-03-17T09:40:51.000Z"
            faults.append(Fault("time", message, parameter="time"))
        asked = Asked(
            topic=query.get("topic"),
            type=query.get("type"),
            key=query.get("key"),
            time=time,
            after=query.get("after"),
            subscription=query.get("subscription"),
            project_id=query.get("project_id"),
        )
        page = await self._journal.page(call.caller, asked, limit=limit, noted=faults)
        return Answer(
            200,
            {
                "data": [_entry(entry) for entry in page.entries],
                "next": None if page.ended else page.after,
                "after": page.after,
                "gaps": [_gap(gap) for gap in page.gaps],
            },
        )

    async def get(self, call: Call) -> Answer:
        """Return the event at a position of the log."""
        call.caller.require("read")
        call.only()
        path = call.path
        entry = await self._journal.get(
            call.caller, path["topic"], path["partition"], path["offset"]
        )
        return Answer(200, _entry(entry))


def _entry(entry: Entry) -> Json:
    event = entry.event
    partition, offset = event.position
    return {
        "topic": partition.topic,
        "partition": partition.number,
        "offset": offset,
        "produced_at": rfc3339_ms(event.timestamp_ms),
        "id": event.id,
        "type": entry.type,
        "key": event.key,
        "project_id": event.project_id,
        "event": event.body if entry.body is None else orjson.Fragment(entry.body),
    }


def _gap(gap: Gap) -> Json:
    return {
        "topic": gap.partition.topic,
        "partition": gap.partition.number,
        "from_offset": gap.from_offset,
        "to_offset": gap.to_offset,
    }
