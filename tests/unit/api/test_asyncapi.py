"""The AsyncAPI document describes the topics that there are, and the events in them."""

from typing import Any

import jsonschema_rs
import orjson

from services import catalogue
from services.broker.topics import TOPICS
from services.run.api.serving import asyncapi_document
from tests.support import openapi

DOCUMENT: Any = orjson.loads(asyncapi_document())


def resolved(pointer: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a reference of the document refers to."""
    found = DOCUMENT
    for step in pointer.removeprefix("#/").split("/"):
        found = found[step]
    return found


def test_the_document_beside_the_code_is_what_the_api_serves() -> None:
    written = openapi.committed(openapi.TOPICS_FILE)
    assert written == asyncapi_document(), "python -m tests.support.openapi"


def test_each_topic_is_a_channel_as_migrate_makes_it() -> None:
    described = {
        channel["address"]: (kafka["partitions"], kafka["topicConfiguration"].get("retention.ms"))
        for channel in DOCUMENT["channels"].values()
        for kafka in [channel["bindings"]["kafka"]]
    }
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert described == {
        topic.name: (
            topic.partitions,
            None if topic.retention_days is None else topic.retention_days * 86_400_000,
        )
        for topic in TOPICS
    }


def test_each_event_type_is_a_message_of_its_topic_with_a_valid_example() -> None:
    schema = {"$ref": "#/components/schemas/Event", "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    seen = set()
    for channel in DOCUMENT["channels"].values():
        for name, reference in channel["messages"].items():
            message = resolved(reference["$ref"])
            assert catalogue.event_types()[name].topic == channel["address"]
            (example,) = message["examples"]
            assert example["payload"]["type"] == message["name"] == name
            assert [error.message for error in validator.iter_errors(example["payload"])] == []
            seen.add(name)
    assert seen == set(catalogue.event_types())


def test_each_topic_says_whether_we_read_or_write_it() -> None:
    done: dict[str, set[str]] = {}
    for operation in DOCUMENT["operations"].values():
        address = resolved(operation["channel"]["$ref"])["address"]
        done.setdefault(address, set()).add(operation["action"])
    assert done.keys() == {topic.name for topic in TOPICS}
    assert done["planner.events"] == {"receive"}
    assert done["webhooks.ops"] == {"receive", "send"}
    assert done["webhooks.quarantine"] == {"send"}
