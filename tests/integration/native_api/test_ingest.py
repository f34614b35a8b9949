"""Events in: all or nothing, answered when Kafka has them."""

from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from services.broker.topics import TOPICS
from tests.support.cluster import (
    Cluster,
)
from tests.support.native import NOBODYS_ID, Caller, a_plan_created

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.timeout(60)]


async def read(
    cluster: Cluster, places: list[Any]
) -> list[tuple[bytes | None, Any, dict[str, bytes]]]:
    """Read records at the places that an answer names: key, value, headers."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        found = []
        for place in places:
            tp = TopicPartition(place["topic"], place["partition"])
            consumer.assign([tp])
            consumer.seek(tp, place["offset"])
            record = await consumer.getone(tp)
            assert record.offset == place["offset"]
            found.append((record.key, orjson.loads(record.value), dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def test_an_event_is_in_kafka_when_it_is_answered(cluster: Cluster, owner: Caller) -> None:
    event = a_plan_created("61f0a446c97efa37d4831020", extra={"kept": True})
    answer = await owner("POST", "/v1/events", event, status=202)
    (place,) = answer.json["events"]
    assert (place["id"], place["topic"]) == (event["id"], "planner.events")
    ((key, value, headers),) = await read(cluster, [place])
    assert value == {**event, "project_id": owner.project}
    assert key == f"{owner.project}:{NOBODYS_ID}".encode()
    assert headers == {
        "project_id": owner.project.encode(),
        "type": b"plan.created",
        "id": event["id"].encode(),
    }


async def test_many_events_are_answered_in_their_order_with_their_places(
    cluster: Cluster, owner: Caller
) -> None:
    master = a_plan_created(
        "e1", type="client.created", data={"id": NOBODYS_ID, "project_id": NOBODYS_ID}
    )
    events = [a_plan_created("e0"), master, a_plan_created(None), a_plan_created("e3")]
    places = (await owner("POST", "/v1/events", {"events": events}, status=202)).json["events"]
    assert [place["id"] for place in places] == ["e0", "e1", places[2]["id"], "e3"]
    assert len(places[2]["id"]) == 24
    topics = ["planner.events", "planner.master", "planner.events", "planner.events"]
    assert [place["topic"] for place in places] == topics
    values = [value for _, value, _ in await read(cluster, places)]
    assert [value["id"] for value in values] == [place["id"] for place in places]
    assert values[1]["type"] == "customer.created", "an older name becomes today's"


async def ends(cluster: Cluster) -> dict[TopicPartition, int]:
    """Return where the logs of events end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.bootstrap)
    await consumer.start()
    try:
        topics = [(topic.name, topic.partitions) for topic in TOPICS[:3]]
        tps = [TopicPartition(name, number) for name, count in topics for number in range(count)]
        return dict(await consumer.end_offsets(tps))
    finally:
        await consumer.stop()


async def test_of_many_events_all_are_taken_or_none(cluster: Cluster, owner: Caller) -> None:
    before = await ends(cluster)
    bad_data = {"id": 5, "project_id": NOBODYS_ID, "status": "nearly"}
    events = [
        a_plan_created("good"),
        a_plan_created(type="plan.creatd"),
        a_plan_created(created_at="yesterday"),
        a_plan_created(created_at="0001-01-01T00:00:00+01:00"),
        a_plan_created(data=bad_data),
        a_plan_created(data={**bad_data, "id": NOBODYS_ID, "status": "x" * 1_100_000}),
        a_plan_created(data={**a_plan_created()["data"], "label": "x" * 1_100_000}),
        a_plan_created("", user=7),
        "no event",
        a_plan_created(type="webhook.disabled"),
    ]
    answer = await owner("POST", "/v1/events", {"events": events}, status=422)
    assert answer.faults == [
        ("/events/1/type", "unknown_type"),
        ("/events/2/created_at", "time"),
        ("/events/3/created_at", "time"),
        ("/events/4/data/id", "schema"),
        ("/events/4/data/status", "schema"),
        ("/events/5/data/status", "schema"),
        ("/events/6", "limit"),
        ("/events/7/user", "type"),
        ("/events/7/id", "id"),
        ("/events/8", "type"),
        ("/events/9/type", "reserved_type"),
    ]
    assert await ends(cluster) == before


async def test_faults_of_one_event_have_their_place_in_it(owner: Caller) -> None:
    answer = await owner("POST", "/v1/events", {"type": 5, "meta": []}, status=422)
    assert sorted(answer.faults) == [
        ("/created_at", "required"),
        ("/data", "required"),
        ("/meta", "type"),
        ("/type", "type"),
    ]
    answer = await owner("POST", "/v1/events", {"events": [], "a/b": 1}, status=422)
    assert sorted(answer.faults) == [("/a~1b", "unknown_field"), ("/events", "limit")]
    many = {"events": [a_plan_created()] * 1001}
    assert (await owner("POST", "/v1/events", many, status=422)).faults == [("/events", "limit")]


async def test_an_operator_names_the_project_and_may_send_operational_events(
    cluster: Cluster, operator: Caller, owner: Caller
) -> None:
    answer = await operator("POST", "/v1/events", a_plan_created(), status=422)
    assert answer.faults == [("/project_id", "required")]
    answer = await operator("POST", "/v1/events", a_plan_created(project_id=5), status=422)
    assert answer.faults == [("/project_id", "type")]
    await operator("POST", "/v1/events", a_plan_created(project_id=NOBODYS_ID), status=404)
    sent = await operator(
        "POST", "/v1/events", a_plan_created(project_id=owner.project), status=202
    )
    ((_, value, _),) = await read(cluster, sent.json["events"])
    assert value["project_id"] == owner.project


async def test_an_ingest_repeated_under_its_key_produces_nothing_twice(
    cluster: Cluster, owner: Caller
) -> None:
    first = await owner("POST", "/v1/events", a_plan_created(), status=202, Idempotency_Key="k")
    before = await ends(cluster)
    again = await owner("POST", "/v1/events", a_plan_created(), status=202, Idempotency_Key="k")
    assert again.body == first.body
    assert await ends(cluster) == before
