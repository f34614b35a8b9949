"""The log as a journal: pages together are the log, whatever is filtered and however it grows."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import ClientSession
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.support.cluster import Cluster, Put, a_cluster, an_event
from tests.support.native import Caller

pytestmark = pytest.mark.timeout(60)

OTHER = "5e208446c97efa37d4830bff"


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        yield cluster


@pytest.fixture
async def owner(cluster: Cluster) -> AsyncIterator[Caller]:
    body = {"name": "A key", "scopes": ["manage"]}
    made = await cluster.call("POST", f"/v1/projects/{cluster.project}/api-keys", body)
    async with ClientSession(cluster.api) as session:
        yield Caller(session, made["key"], cluster.project)


async def put(cluster: Cluster, *ids: int, type_: str = "plan.created", **options: Any) -> None:  # noqa: ANN401
    """Produce events of the test's project, unless another is named; keyed by their number mod 5."""
    project = options.get("project", cluster.project)
    await cluster.put(
        *(
            Put(
                an_event(f"{n:024x}", type_=type_, project=project),
                b"%s:%d" % (project.encode(), n % 5),
            )
            for n in ids
        )
    )


async def read(caller: Caller, query: str = "", *, limit: int = 7) -> list[Any]:
    """Return all entries, page by page to the end."""
    found: list[Any] = []
    after = ""
    while True:
        page = (await caller("GET", f"/v1/events?limit={limit}{query}{after}")).json
        found += page["data"]
        assert len(page["data"]) <= limit
        if page["next"] is None:
            return found
        after = f"&after={quote(page['next'])}"


def numbers(entries: list[Any]) -> list[int]:
    return sorted(int(entry["id"], 16) for entry in entries)


async def test_pages_of_any_size_together_are_the_log_of_the_project_in_order(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, *range(40))
    await put(cluster, *range(100, 110), project=OTHER)
    await put(cluster, *range(40, 60))
    await cluster.put(Put(b"no event"))
    topic = f"&topic={cluster.topic}"
    chance = random.Random(7)
    for limit in (1, 7, 60, 500, chance.randint(2, 59)):
        entries = await read(owner, topic, limit=limit)
        assert numbers(entries) == list(range(60))
        positions = [(e["partition"], e["offset"]) for e in entries]
        assert len(set(positions)) == 60
        for partition in {p for p, _ in positions}:
            offsets = [offset for p, offset in positions if p == partition]
            assert offsets == sorted(offsets)
    held = {
        (r.partition, r.offset): orjson.loads(r.value)
        for r in await cluster.records(cluster.topic)
        if r.value != b"no event"
    }
    assert all(held[e["partition"], e["offset"]]["data"] == e["event"]["data"] for e in entries)


async def test_a_pointer_goes_on_where_it_stood_though_the_log_has_grown(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, *range(10))
    topic = f"/v1/events?topic={cluster.topic}"
    first = (await owner("GET", topic)).json
    assert numbers(first["data"]) == list(range(10))
    assert first["next"] is None
    again = (await owner("GET", f"{topic}&after={quote(first['after'])}")).json
    assert again["data"] == []
    await put(cluster, *range(10, 15))
    more = (await owner("GET", f"{topic}&after={quote(first['after'])}")).json
    assert numbers(more["data"]) == list(range(10, 15))
    assert more["gaps"] == []


async def test_each_filter_gives_what_fits_and_nothing_else(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, *range(10))
    await put(cluster, *range(10, 20), type_="route.started")
    topic = f"&topic={cluster.topic}"
    assert numbers(await read(owner, topic + "&type=route.started")) == list(range(10, 20))
    assert numbers(await read(owner, topic + "&type=plan.*")) == list(range(10))
    assert numbers(await read(owner, topic + "&key=3")) == [3, 8, 13, 18]
    assert numbers(await read(owner, topic + f"&plan_id={3:024x}")) == [3]
    assert numbers(await read(owner, topic + f"&route_id={13:024x}&key=3")) == [13]
    assert numbers(await read(owner, topic + f"&event_id={4:024x}")) == [4]
    assert numbers(await read(owner, topic + f"&stop_id={3:024x}")) == []
    entries = await read(owner, topic)
    late = max(entry["produced_at"] for entry in entries)
    from_then = await read(owner, topic + f"&time={quote(late)}")
    assert {e["id"] for e in from_then} >= {e["id"] for e in entries if e["produced_at"] == late}
    assert numbers(await read(owner, topic + "&time=2050-01-01T00:00:00Z")) == []


async def test_for_a_subscription_it_is_what_was_or_would_have_been_sent(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, *range(5))
    await put(cluster, *range(5, 10), type_="route.started")
    id_ = (await owner.make(types=["plan.created"], profile="cloudevents"))["id"]
    entries = await read(owner, f"&topic={cluster.topic}&subscription={id_}")
    assert numbers(entries) == list(range(5))
    assert {entry["event"]["specversion"] for entry in entries} == {"1.0"}
    await owner("GET", f"/v1/events?subscription={id_[::-1]}", status=404)


async def test_one_event_is_there_by_its_position_for_its_own_project_alone(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, 1)
    await put(cluster, 2, project=OTHER)
    (mine,) = await read(owner, f"&topic={cluster.topic}")
    path = f"/v1/events/{cluster.topic}/{mine['partition']}"
    assert (await owner("GET", f"{path}/{mine['offset']}")).json == mine
    records = await cluster.records(cluster.topic)
    (theirs,) = [r for r in records if orjson.loads(r.value)["project_id"] == OTHER]
    at = f"/v1/events/{cluster.topic}/{theirs.partition}/{theirs.offset}"
    await owner("GET", at, status=404)
    assert (await cluster.call("GET", at))["id"] == f"{2:024x}"
    outside = await owner("GET", f"{path}/{mine['offset'] + 5}", status=404)
    assert "the log holds" in outside.json["detail"]
    for wrong in (f"{path}/x", f"/v1/events/{cluster.topic}/99/0", "/v1/events/no.topic/0/0"):
        await owner("GET", wrong, status=404)


async def test_what_retention_took_between_two_pages_is_named(
    cluster: Cluster, owner: Caller
) -> None:
    await put(cluster, *range(0, 50, 5))  # one key, one partition
    topic = f"/v1/events?topic={cluster.topic}"
    first = (await owner("GET", f"{topic}&limit=3")).json
    partition = first["data"][0]["partition"]
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    await admin.start()
    try:
        at = TopicPartition(cluster.topic, partition)
        await admin.delete_records({at: RecordsToDelete(before_offset=7)})
    finally:
        await admin.close()
    second = (await owner("GET", f"{topic}&after={quote(first['next'])}")).json
    assert [entry["offset"] for entry in second["data"]] == [7, 8, 9]
    assert second["gaps"] == [
        {"topic": cluster.topic, "partition": partition, "from_offset": 3, "to_offset": 7}
    ]


async def test_what_is_wrong_with_a_question_is_told_at_once(
    cluster: Cluster, owner: Caller
) -> None:
    answer = await owner(
        "GET",
        "/v1/events?topic=planner.event&type=plan.craeted&time=noon&after=xyz&limit=900&kye=1",
        status=422,
    )
    assert sorted(answer.faults) == [
        ("after", "cursor"), ("kye", "unknown_parameter"), ("limit", "range"),
        ("time", "time"), ("topic", "unknown_topic"), ("type", "unknown_type"),
    ]  # fmt: skip
    await put(cluster, 1)
    pointer = quote((await owner("GET", f"/v1/events?topic={cluster.topic}")).json["after"])
    topic = f"topic={cluster.topic}"
    for query in (
        f"after={pointer}", f"{topic}&key=1&after={pointer}", f"{topic}&stop_id=1&after={pointer}",
    ):  # fmt: skip
        answer = await owner("GET", f"/v1/events?{query}", status=422)
        assert answer.faults == [("after", "cursor")]
    both = f"{topic}&time=2026-01-01T00:00:00Z&after={pointer}"
    assert (await owner("GET", f"/v1/events?{both}", status=422)).faults == [("time", "conflict")]
