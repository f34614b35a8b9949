"""`GET /v1/events`: the log as a journal; `GET /v1/stream`: as it grows, deliveries too."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import orjson

from services.api.call import Answer, Call, Streamed
from services.api.history import attempt_shown
from services.control.checks import parse_moment
from services.control.history import filter_of_query
from services.control.journal import Gap, Journal
from services.control.tail import DELIVERIES, EVENTS, Message, Tail, Wanted
from services.control.view import Asked, Entry
from services.kernel.clock import rfc3339_ms
from services.kernel.errors import Fault
from services.kernel.event import Json
from services.kernel.history import IDS
from services.kernel.recorded import Recorded

PARAMETERS = ("topic", "type", "key", "time", "after", "subscription", "project_id", *IDS)
OF_DELIVERIES = ("outcome", "verdict", "state", "status", "q")
"""What a stream is narrowed by that events have not."""
STREAM_PARAMETERS = (
    "of", "topic", "type", "key", "subscription", "project_id", *IDS, *OF_DELIVERIES
)  # fmt: skip


class JournalRoutes:
    """Reads the log itself."""

    def __init__(self, journal: Journal, tail: Tail) -> None:
        self._journal = journal
        self._tail = tail

    async def list(self, call: Call) -> Answer:
        """Read the log from a time or position; also as one subscription got it, or would have."""
        call.caller.require("read")
        query = call.query
        limit, faults = call.limit()
        faults += call.unknown("limit", *PARAMETERS)
        time = parse_moment(query.get("time"))
        if "time" in query and time is None:
            message = "write a time as 2026-03-17T09:40:51.000Z"
            faults.append(Fault("time", message, parameter="time"))
        asked = _asked(query)._replace(time=time, after=query.get("after"))
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

    async def stream(self, call: Call) -> Streamed:
        """Follow events and deliveries as they happen, as server-sent events."""
        call.caller.require("read")
        query = call.query
        of = query.get("of")
        faults = call.unknown(*STREAM_PARAMETERS)
        if of not in (None, EVENTS, DELIVERIES):
            message = f"{of!r} is not {EVENTS} or {DELIVERIES}"
            faults.append(Fault("choice", message, parameter="of"))
        deliveries, wrong = filter_of_query(query)
        faults += wrong
        for name in OF_DELIVERIES if of == EVENTS else ():
            if name in query:
                message = f"events have no {name}: leave it out, or ask for of={DELIVERIES}"
                faults.append(Fault("conflict", message, parameter=name))
        wanted = Wanted(
            of=of,
            asked=_asked(query),
            deliveries=deliveries,
            after=call.headers.get("Last-Event-ID"),
        )
        messages = await self._tail.listen(call.caller, wanted, noted=faults)
        return Streamed(_pieces(messages), "text/event-stream")

    async def get(self, call: Call) -> Answer:
        """Return the event at a position of the log."""
        call.caller.require("read")
        call.only()
        path = call.path
        entry = await self._journal.get(
            call.caller, path["topic"], path["partition"], path["offset"]
        )
        return Answer(200, _entry(entry))


def _asked(query: Mapping[str, str]) -> Asked:
    return Asked(
        topic=query.get("topic"),
        type=query.get("type"),
        key=query.get("key"),
        subscription=query.get("subscription"),
        project_id=query.get("project_id"),
        ids=tuple((name, query[name]) for name in IDS if name in query),
    )


async def _pieces(messages: AsyncGenerator[Message, None]) -> AsyncGenerator[bytes, None]:
    """Yield each message as the wire has it; a heartbeat is an id without data."""
    async with aclosing(messages):
        async for at, what in messages:
            if what is None:
                yield f": here\nid: {at}\n\n".encode()
                continue
            name, data = _named(what)
            yield f"id: {at}\nevent: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"


def _named(what: Entry | Recorded | Gap) -> tuple[str, Json]:
    match what:
        case Entry():
            return "event", _entry(what)
        case Gap():
            return "missed", _gap(what)
        case Recorded():
            return "delivery", attempt_shown(what)


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
