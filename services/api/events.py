"""`/v1/events` (ingest) and `/v1/event-types` (the catalogue)."""

from collections.abc import Mapping

import orjson

from services import catalogue
from services.api.call import Answer, Call
from services.catalogue import EventType
from services.control.ingest import Ingest
from services.control.volumes import Volumes, shown
from services.kernel.errors import NotFoundError
from services.kernel.event import Event, Json, Partition, Position
from services.kernel.ports.store.counts import Seen
from services.kernel.subscription import Profile
from services.match.types import own_name
from services.render import render


class EventRoutes:
    """Events in, and which there are."""

    def __init__(self, ingest: Ingest, volumes: Volumes) -> None:
        self._ingest = ingest
        self._volumes = volumes

    async def ingest(self, call: Call) -> Answer:
        """Accept one event or many; answers once Kafka has them all."""
        call.caller.require("ingest")
        ingested = await self._ingest.ingest(
            call.caller, call.body, traceparent=call.headers.get("traceparent")
        )
        events = [
            {
                "id": event.id,
                "topic": event.position.partition.topic,
                "partition": event.position.partition.number,
                "offset": event.position.offset,
            }
            for event in ingested
        ]
        return Answer(202, {"events": events})

    async def types(self, call: Call) -> Answer:
        """List the event types, with the project's volume of each."""
        call.only("project_id")
        volumes = await self._volumes.of(call.caller, call.query.get("project_id"))
        rows = [_type(row, volumes) for row in catalogue.event_types().values()]
        return Answer(200, {"data": rows, "next": None})

    async def type(self, call: Call) -> Answer:
        """Return one type with its schema, and an example per profile."""
        call.only("project_id")
        name = catalogue.canonical(call.path["type"])
        known = catalogue.event_types().get(name)
        if known is None:
            raise NotFoundError("event type", call.path["type"])
        examples = {profile.value: _example(name, profile) for profile in Profile}
        schema = catalogue.data_schemas().get(name)
        volumes = await self._volumes.of(call.caller, call.query.get("project_id"))
        return Answer(200, {**_type(known, volumes), "schema": schema, "examples": examples})


def _type(row: EventType, volumes: Mapping[str, Seen] | None) -> Json:
    return {
        "type": row.type,
        "topic": row.topic,
        "key": row.kafka_key,
        "stream": row.stream,
        "aliases": list(row.aliases),
        "umbrellas": list(row.umbrellas),
        "meaning": row.meaning,
        "when": row.when,
        "not_when": row.not_when,
        "data": row.data,
        "in_legacy_catalogue": row.in_legacy_catalogue,
        "volume": shown(volumes, row.type),
    }


def _example(name: str, profile: Profile) -> Json:
    body = catalogue.examples()[name]
    event = Event(
        id=body["id"],
        type=name,
        project_id=body["project_id"],
        created_at=body["created_at"],
        body=dict(body),
        position=Position(Partition("", 0), 0),
        key=body.get("meta", {}).get("ordering_key"),
        timestamp_ms=0,
    )
    asked = own_name(name, profile)
    rendered = render(event, profile=profile, asked=asked, expand=(), max_bytes=0)
    example: Json = orjson.loads(rendered.body)
    return example
