"""The AsyncAPI 3 document: our topics, what lies in them, under which key and for how long.

`schemas/asyncapi.json` is this document; a test holds the two to each other, to the topics that
`planner-webhooks migrate` makes and to the catalogue.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from services import catalogue
from services.api.openapi import event_schemas, ref
from services.catalogue import EventType
from services.version import VERSION

EVENT = (
    "The event as JSON, or a CloudEvent: structured, with the content type"
    " application/cloudevents+json, or binary, with ce_ headers."
)
OURS = {
    "webhooks.attempts": "Many attempts a record, as a worker made them; for the role `record` alone.",
    "webhooks.geofence": "In which geofences a vehicle is; for the role `geofence` alone.",
    "webhooks.quarantine": "Records that are not events, byte for byte, under the key they had. The"
    " headers `webhooks-reason`, `webhooks-pointer` and `webhooks-message` say why, `webhooks-topic`,"
    " `webhooks-partition`, `webhooks-offset` and `webhooks-timestamp` where they stood.",
}
"""Topics that hold no events, and what lies there."""
WRITTEN = ("planner.positions", "webhooks.ops", *OURS)
"""What we write of our own accord; HTTP ingest writes to each topic of events besides."""


class LogTopic(NamedTuple):
    """A topic as `planner-webhooks migrate` makes it."""

    name: str
    partitions: int
    retention_ms: int | None
    """None: compacted."""


def document(topics: Iterable[LogTopic]) -> bytes:
    """Return the document, deterministic byte for byte."""
    known = catalogue.event_types().values()
    topics = list(topics)
    found = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Planner Webhooks",
            "version": VERSION,
            "description": "Topics that events come from, and those we keep for ourselves.",
        },
        "defaultContentType": "application/json",
        "channels": {
            topic.name: _channel(topic, [each for each in known if each.topic == topic.name])
            for topic in topics
        },
        "operations": {
            f"{action}.{topic.name}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic.name}"},
            }
            for topic in topics
            for action in _actions(topic.name, {each.topic for each in known})
        },
        "components": {
            "messages": {each.type: _message(each) for each in known},
            "schemas": event_schemas(),
        },
    }
    return orjson.dumps(found, option=orjson.OPT_INDENT_2)


def _channel(topic: LogTopic, types: Iterable[EventType]) -> dict[str, Any]:
    policy: dict[str, Any] = {"cleanup.policy": ["compact"]}
    if topic.retention_ms is not None:
        policy = {"cleanup.policy": ["delete"], "retention.ms": topic.retention_ms}
    return {
        "address": topic.name,
        "description": OURS.get(topic.name, EVENT),
        "messages": {each.type: {"$ref": f"#/components/messages/{each.type}"} for each in types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": policy,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _actions(name: str, of_events: set[str]) -> list[str]:
    return [*(["receive"] if name in of_events else []), *(["send"] if name in WRITTEN else [])]


def _message(known: EventType) -> dict[str, Any]:
    key = f"`project_id:` and then the value of {known.kafka_key.replace('??', 'or else')}"
    return {
        "name": known.type,
        "summary": known.meaning,
        "description": f"When: {known.when}. Not when: {known.not_when}.",
        "payload": ref("Event"),
        "bindings": {
            "kafka": {"key": {"type": "string", "description": key}, "bindingVersion": "0.5.0"}
        },
        "examples": [{"payload": catalogue.examples()[known.type]}],
    }
