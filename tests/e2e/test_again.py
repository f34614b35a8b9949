"""Deliveries sent again, whatever became of them: by id, by filter, to another webhook."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.kernel.ids import delivery_id
from tests.support.cluster import (
    Cluster,
    Receiver,
    Seen,
    a_cluster,
    a_key,
    create_topics,
)
from tests.support.eventually import eventually

COUNT = 200


@pytest.fixture
async def cluster(kafka: str, database: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(kafka, database, tmp_path) as cluster:
        topic = f"{cluster.topic}.attempts"
        cluster.environment["WEBHOOKS_RECORD__TOPIC"] = topic
        await create_topics(cluster.bootstrap, [topic], partitions=2)
        yield cluster


async def ended(cluster: Cluster, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def over() -> bool:
        nonlocal found
        found = await cluster.call("GET", f"/v1/resends/{job['id']}")
        return bool(found["state"] == "done")

    await eventually(over, within=60)
    return found


async def recorded(cluster: Cluster, count: int) -> None:
    async def are_there() -> bool:
        return len(await cluster.fetch("select from attempts")) >= count

    await eventually(are_there, within=60)


@pytest.mark.timeout(180)
async def test_what_was_acknowledged_is_sent_again_from_the_log_in_order(
    cluster: Cluster, receiver: Receiver
) -> None:
    id_ = await cluster.subscribe(f"{receiver.url}/one", ordered="key")
    other = await cluster.subscribe(f"{receiver.url}/other", types=["route.*"])
    await cluster.start()
    await cluster.start("record", role="record")
    ids = await cluster.produce(COUNT)
    await eventually(lambda: len(receiver.ids("/one")) == COUNT, within=60)
    await recorded(cluster, COUNT)
    asked = {"subscription": id_, "state": "acknowledged"}
    estimate = await cluster.call("POST", "/v1/resends", {**asked, "dry_run": True})
    assert estimate["deliveries"] == COUNT
    assert estimate["bytes"] == sum(len(seen.body) for seen in receiver.seen)

    job = await ended(cluster, await cluster.call("POST", "/v1/resends", asked, status=202))
    counts = {name: job[name] for name in ("done", "total", "delivered", "dead", "missing")}
    assert counts == {"done": COUNT, "total": COUNT, "delivered": COUNT, "dead": 0, "missing": 0}
    assert receiver.ids("/one") == dict.fromkeys(ids, 2)
    first, again = receiver.seen[:COUNT], receiver.seen[COUNT:]
    assert {seen.headers.get("planner-replay") for seen in first} == {None}
    marks = {seen.headers.get("planner-replay") for seen in again}
    assert marks == {job["id"]}, "who remembers the event would drop it as a repeat"
    bodies = {seen.id: seen.body for seen in first}
    assert all(seen.body == bodies[seen.id] for seen in again)
    for key in {by_key(seen) for seen in first}:
        sent, twice = ([s.id for s in some if by_key(s) == key] for some in (first, again))
        assert len(sent) > 1
        assert sent == twice
    await recorded(cluster, 2 * COUNT)
    shown = await cluster.call("GET", f"/v1/deliveries/{delivery_id(ids[3], id_)}")
    assert [attempt["trigger"] for attempt in shown["attempts"]] == ["live", "resend"]

    path = f"/v1/deliveries/{delivery_id(ids[5], id_)}/resend"
    await ended(cluster, await cluster.call("POST", path, {"to": other}, status=202))
    assert receiver.ids("/other") == {ids[5]: 1}
    await ended(cluster, await cluster.call("POST", path, status=202))
    assert receiver.ids("/one")[ids[5]] == 3


@pytest.mark.timeout(180)
async def test_what_waits_for_its_next_attempt_is_sent_at_once(
    cluster: Cluster, receiver: Receiver
) -> None:
    receiver.answers["/one"] = lambda _: 500
    id_ = await cluster.subscribe(f"{receiver.url}/one", retry_schedule=[3600])
    await cluster.start()
    await cluster.start("record", role="record")
    ids = await cluster.produce(4)
    await recorded(cluster, 4)
    receiver.answers["/one"] = lambda _: 200
    path = f"/v1/deliveries/{delivery_id(ids[0], id_)}/resend"
    await ended(cluster, await cluster.call("POST", path, status=202))
    assert receiver.ids("/one")[ids[0]] == 2
    await recorded(cluster, 5)
    asked = {"subscription": id_, "state": "parked"}
    job = await ended(cluster, await cluster.call("POST", "/v1/resends", asked, status=202))
    assert (job["total"], job["delivered"]) == (3, 3)
    assert receiver.ids("/one") == dict.fromkeys(ids, 2)
    assert await cluster.fetch("select from retries") == []


def by_key(seen: Seen) -> bytes:
    return a_key(int(seen.id, 16))
